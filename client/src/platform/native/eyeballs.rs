//! Several addresses of one name, tried like RFC 8305 says ("Happy Eyeballs"): the families in turns, the
//! next address after a head start of the one before or as soon as that has failed, and the first that
//! succeeds wins.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

/// Connects to one of the addresses. Dropping the future gives all attempts up.
///
/// # Errors
/// The failure of the last attempt; none if there is no address.
pub(super) async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Option<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    for address in in_turns(addresses) {
        attempts.push(connect(address));
        tokio::select! {
            biased;
            Some(result) = attempts.next() => match result {
                Ok(connected) => return Ok(connected),
                Err(error) => failure = Some(error),
            },
            () = tokio::time::sleep(HEAD_START) => {}
        }
    }
    while let Some(result) = attempts.next().await {
        match result {
            Ok(connected) => return Ok(connected),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure)
}

/// The addresses with their families in turns, each in the resolver's order, which knows the networks of this
/// machine: the family that it names first goes first (RFC 8305, section 4).
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().map(SocketAddr::is_ipv6);
    let is_first = |address: &SocketAddr| Some(address.is_ipv6()) == first;
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// How long an address is tried alone (RFC 8305, section 5: "Connection Attempt Delay").
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_first_goes_first() {
        let found = addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]);
        let tried = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"];
        assert_eq!(in_turns(found), addresses(&tried));
        let found = addresses(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]);
        let tried = ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"];
        assert_eq!(in_turns(found), addresses(&tried));
    }

    #[tokio::test]
    async fn an_address_that_is_silent_keeps_no_other_waiting() {
        let won = race(addresses(&["[::1]:1", "1.1.1.1:1"]), async |address| {
            if address.is_ipv6() {
                std::future::pending::<()>().await;
            }
            Ok::<_, ()>(address)
        });
        assert_eq!(won.await, Ok(addresses(&["1.1.1.1:1"])[0]));
    }

    #[tokio::test]
    async fn the_last_failure_is_told() {
        let found = addresses(&["[::1]:1", "1.1.1.1:1"]);
        let lost = race(found, async |address| Err::<(), _>(address));
        assert_eq!(lost.await, Err(Some(addresses(&["1.1.1.1:1"])[0])));
        let lost = race(Vec::new(), async |_| Err::<(), _>(()));
        assert_eq!(lost.await, Err(None));
    }
}
