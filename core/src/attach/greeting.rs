//! What each Hello of a peer says beside its ticket.

use peersox_proto::v1;

#[cfg(not(target_arch = "wasm32"))]
use crate::trace::TraceContext;

/// See the module.
pub(crate) struct Greeting {
    agent: String,
    /// Which trace legs belong to. A page says none: it would download what says it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) trace: Option<TraceContext>,
}

impl Greeting {
    pub(super) fn of(agent: String) -> Self {
        Self {
            agent,
            #[cfg(not(target_arch = "wasm32"))]
            trace: None,
        }
    }

    pub(super) fn hello(&self, ticket: String) -> v1::Hello {
        let hello = v1::Hello {
            ticket,
            agent: self.agent.clone(),
            ..v1::Hello::default()
        };
        #[cfg(not(target_arch = "wasm32"))]
        let hello = match self.trace.clone() {
            None => hello,
            Some(trace) => trace.tell(hello),
        };
        hello
    }
}
