//! What a server is told with each call: who calls, and in which trace.

use http::HeaderValue;
use peersox_core::trace::TraceContext;

use super::Server;
use crate::Error;

impl Server {
    /// Says from now on which trace calls and legs belong to, by the headers of Trace Context and in Hello,
    /// so that spans of the server are children of the caller's. Clones that were made before say nothing of
    /// it, nor do legs of pages.
    #[must_use]
    pub fn in_trace(mut self, trace: TraceContext) -> Self {
        self.calls.in_trace(&trace);
        self.trace = Some(trace);
        self
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) const fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// Shows this key, or token, when it creates a pairing, to a server that lets not everybody do that.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] if it cannot go into a header: it consists of visible ASCII characters.
    pub fn with_token(mut self, token: &str) -> Result<Self, Error> {
        let is_usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let who = HeaderValue::try_from(format!("Bearer {token}")).ok();
        let mut who = who.filter(|_| is_usable).ok_or_else(|| {
            Error::Unauthorized("a key or token consists of visible ASCII characters".to_owned())
        })?;
        who.set_sensitive(true);
        self.who = Some(who);
        Ok(self)
    }
}
