//! What can be asked for: the number that [`call`](crate::door::call) is given. `js/src/net/machine.ts` has the same table.
//!
//! After each what a, b and the bytes are, and `→` what the reply is, if there is anything.

/// A nameplate and a secret of a words → bytes: the code.
pub(crate) const MAKE_CODE: u8 = 0;
/// What a person typed → bytes: the code as it should be shown.
pub(crate) const PARSE_CODE: u8 = 1;
/// An endpoint without a path, the initiator if a is 1, for a pairing with a code: the id, b bytes of code, the name of
/// this side → its number.
pub(crate) const WITH_CODE: u8 = 2;
/// The same for a pairing with a secret.
pub(crate) const WITH_SECRET: u8 = 3;
/// The machine will not be used again.
pub(crate) const FREE: u8 = 4;

/// → bytes: the pairing secret; −1 before it is agreed.
pub(crate) const SECRET: u8 = 5;
/// → whether there are keys.
pub(crate) const SECURED: u8 = 6;
/// A path to the other peer was made, a direct one if a is 1 → its number.
pub(crate) const PATH_UP: u8 = 7;
/// Path a ended.
pub(crate) const PATH_DOWN: u8 = 8;
/// A direct path that was wanted could not be made.
pub(crate) const DIAL_FAILED: u8 = 9;
/// How long the latest probe of path a took → milliseconds; −1 before there is one.
pub(crate) const RTT: u8 = 10;
/// A frame of the other peer, from path a.
pub(crate) const TAKE: u8 = 11;
/// Path a has room → bytes: the next frame for it; −1 if there is none.
pub(crate) const TRANSMIT: u8 = 12;
/// → what happened next, a [`Told`](crate::machine::Told) with what belongs to it, or −1.
pub(crate) const POLL: u8 = 13;
/// → when to ring, in milliseconds as `performance.now()` counts.
pub(crate) const TIMEOUT: u8 = 14;
/// Time has passed.
pub(crate) const RING: u8 = 15;
/// A signal to seal for the other peer and to send over the relay; lost without keys or a relay.
pub(crate) const SIGNAL: u8 = 16;
/// A channel of this name and priority a: 0 interactive, 1 normal, 2 bulk → its handle.
pub(crate) const OPEN: u8 = 17;
/// A message for channel a, text if b is 1 → whether there was room; if not, `Writable` follows.
pub(crate) const SEND: u8 = 18;
/// A datagram for channel a → whether it was sent; if not, it was dropped.
pub(crate) const SEND_DATAGRAM: u8 = 19;
/// The next piece of a message of channel a → 1 for text, 2 for the last of its message, or both, and bytes; −1 if there
/// is none.
pub(crate) const READ: u8 = 20;
/// The next datagram of channel a → bytes; −1 if there is none.
pub(crate) const READ_DATAGRAM: u8 = 21;
/// Ends this side's direction of channel a.
pub(crate) const FINISH: u8 = 22;
/// Ends channel a at once, for reason b.
pub(crate) const RESET: u8 = 23;
/// → bytes sent over channel a and not taken by the other side.
pub(crate) const PENDING: u8 = 24;
/// → the longest datagram.
pub(crate) const MAX_DATAGRAM: u8 = 25;
/// Asks for `Pong`.
pub(crate) const PING: u8 = 26;
/// Says goodbye on every path.
pub(crate) const CLOSE: u8 = 27;
/// → records sent again; a: taken twice; b: datagrams dropped.
pub(crate) const COUNTS: u8 = 28;
