//! Which commands belong together, and what is said of two that do not.
//!
//! A command names itself in the hello of the handshake, as in `peersox/0.1.0 (send)`, so that both know at
//! once whether they fit: two of which neither opens a channel would wait for each other without a word.
//! Commands over a saved device share one hello, which names none of them. The channels that they open tell
//! which they are.

use peersox_client::{AGENT, ResetCode, Secured};

use crate::failure::Failure;
use crate::{connect, forward, pair};

/// A command that meets another device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Send,
    Receive,
    Connect,
    Pair,
    Ping,
    Listen,
    Target,
}

impl Command {
    const ALL: [Self; 7] = [
        Self::Send,
        Self::Receive,
        Self::Connect,
        Self::Pair,
        Self::Ping,
        Self::Listen,
        Self::Target,
    ];

    /// As it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Connect => "connect",
            Self::Pair => "pair",
            Self::Ping => "ping",
            Self::Listen => "forward --listen",
            Self::Target => "forward --target",
        }
    }

    /// What to type for it, before a code.
    pub(crate) fn typed(self) -> &'static str {
        match self {
            Self::Pair => "pair --save NAME",
            Self::Listen => "forward --listen 127.0.0.1:PORT",
            Self::Target => "forward --target HOST:PORT",
            other => other.name(),
        }
    }

    /// The command that belongs to it on the other device.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Send => Self::Receive,
            Self::Receive => Self::Send,
            Self::Listen => Self::Target,
            Self::Target => Self::Listen,
            Self::Connect | Self::Pair | Self::Ping => self,
        }
    }

    /// The hello of a device that runs this command.
    pub(crate) fn agent(self) -> String {
        format!("{AGENT} ({})", self.name())
    }

    /// The command that opens channels of this name.
    pub(crate) fn that_opens(channel: &str) -> Option<Self> {
        match channel {
            peersox_core::transfer::CHANNEL => Some(Self::Send),
            connect::CHANNEL => Some(Self::Connect),
            forward::CHANNEL => Some(Self::Listen),
            pair::CHANNEL => Some(Self::Pair),
            _ => None,
        }
    }

    /// Fails if the other device runs a command that does not belong to this one.
    pub(crate) fn must_fit(self, theirs: Self) -> Result<(), Failure> {
        if self.other() == theirs {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "the other side runs `peersox {}`, this side `peersox {}`; \
             run `peersox {}` here, or `peersox {}` there",
            theirs.name(),
            self.name(),
            theirs.other().typed(),
            self.other().typed()
        )))
    }

    /// The same for a device that says it is `agent`. Whoever names no command may run any.
    pub(crate) fn must_fit_agent(self, agent: &str) -> Result<(), Failure> {
        let named = command_of(agent);
        let theirs = Self::ALL.into_iter().find(|it| Some(it.name()) == named);
        theirs.map_or(Ok(()), |theirs| self.must_fit(theirs))
    }
}

/// Whether the other device is known to be this program, or another one over the same library, and no page.
pub(crate) fn is_program(other: Option<&Secured>) -> bool {
    other.is_some_and(|it| it.agent.starts_with(PROGRAM))
}

/// What a device says it is, without the command that it runs.
pub(crate) fn software(agent: &str) -> &str {
    match command_of(agent) {
        Some(_) => agent.split(" (").next().unwrap_or(agent),
        None => agent,
    }
}

/// The command that a program names in its hello.
fn command_of(agent: &str) -> Option<&str> {
    let (_, named) = agent.strip_prefix(PROGRAM)?.split_once(" (")?;
    named.strip_suffix(')')
}

/// The reset of a channel that another command than the right one serves. Older versions drop such a channel,
/// which resets it with the code 0.
pub(crate) const OTHER_COMMAND: ResetCode = ResetCode(17);

/// How the hello of a program begins.
const PROGRAM: &str = "peersox/";

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ours: Command, agent: &str) -> String {
        ours.must_fit_agent(agent)
            .map_or_else(|failure| failure.to_string(), |()| "fits".into())
    }

    #[test]
    fn each_command_fits_one() {
        for ours in Command::ALL {
            let fits: Vec<_> = Command::ALL
                .into_iter()
                .filter(|theirs| ours.must_fit_agent(&theirs.agent()).is_ok())
                .collect();
            assert_eq!(fits, [ours.other()], "{ours:?}");
            assert_eq!(ours.other().other(), ours);
        }
    }

    #[test]
    fn each_of_two_commands_that_do_not_fit_is_named() {
        assert_eq!(
            said(Command::Connect, &Command::Send.agent()),
            "the other side runs `peersox send`, this side `peersox connect`; \
             run `peersox receive` here, or `peersox connect` there"
        );
        assert_eq!(
            said(Command::Listen, &Command::Listen.agent()),
            "the other side runs `peersox forward --listen`, this side `peersox forward --listen`; \
             run `peersox forward --target HOST:PORT` here, or `peersox forward --target HOST:PORT` there"
        );
    }

    #[test]
    fn who_names_no_command_may_run_any() {
        for agent in ["", "peersox/0.1.0", "peersox/9 (juggle)", "Phone (send)"] {
            assert_eq!(said(Command::Receive, agent), "fits", "{agent}");
        }
    }

    #[test]
    fn the_software_is_named_without_its_command() {
        assert_eq!(
            software("peersox/0.1.0 (forward --listen)"),
            "peersox/0.1.0"
        );
        assert_eq!(software("My phone (old)"), "My phone (old)");
    }
}
