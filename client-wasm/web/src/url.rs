//! Addresses, by the browser's [`URL`](https://url.spec.whatwg.org): a page needs no parser of its own.

use crate::Failure;

/// A URL that the browser takes, with the names that the crate `url` gives to its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    href: String,
    scheme: String,
    host: String,
    username: String,
    password: String,
    query: String,
    fragment: String,
}

impl Url {
    /// Takes a URL with a scheme apart.
    ///
    /// # Errors
    ///
    /// `TypeError` for what is not a URL.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let url = web_sys::Url::new(url)?;
        Ok(Self {
            href: url.href(),
            scheme: url.protocol().trim_end_matches(':').to_owned(),
            host: url.host(),
            username: url.username(),
            password: url.password(),
            query: url.search(),
            fragment: url.hash(),
        })
    }

    /// All of it, as the browser writes it.
    pub fn as_str(&self) -> &str {
        &self.href
    }

    /// What is before the first colon, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether it names a host.
    pub fn has_host(&self) -> bool {
        !self.host.is_empty()
    }

    /// The user name; empty if there is none.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password, if there is one.
    pub fn password(&self) -> Option<&str> {
        Some(self.password.as_str()).filter(|it| !it.is_empty())
    }

    /// The query with its question mark, unless it is empty.
    pub fn query(&self) -> Option<&str> {
        Some(self.query.as_str()).filter(|it| !it.is_empty())
    }

    /// The fragment with its hash, unless it is empty.
    pub fn fragment(&self) -> Option<&str> {
        Some(self.fragment.as_str()).filter(|it| !it.is_empty())
    }
}
