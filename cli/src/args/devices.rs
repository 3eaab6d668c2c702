//! Commands about saved devices.

use clap::Args;

use super::{Joiner, NewCode, Remote};
use crate::saved::Name;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox pair --save laptop                    shows a code; the other device becomes `laptop`
  peersox pair 481920-tulip-ember --save phone  on the other device
  peersox send --to laptop FILE                 from then on, without a code")]
pub(crate) struct Pair {
    /// The code that the other side shows. Without one, a code is shown here.
    #[arg(value_name = "CODE")]
    pub(crate) code: Vec<String>,
    /// What the other device is called here.
    #[arg(long, value_name = "NAME")]
    pub(crate) save: Name,
    #[command(flatten)]
    pub(crate) new_code: NewCode,
    #[command(flatten)]
    pub(crate) joiner: Joiner,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Only the names, one a line, without asking a server.
    #[arg(long)]
    pub(crate) names: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// The saved device.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The saved device.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// Only here: do not revoke the pairing on the server.
    #[arg(long)]
    pub(crate) local: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}
