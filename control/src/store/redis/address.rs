//! Where Redis is, as an operator writes it.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo};
use zeroize::Zeroizing;

/// Where Redis is, and who we are there.
///
/// ```text
/// redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]
/// redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT],…/NAME[/DATABASE]
/// redis+cluster://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT],…
/// ```
///
/// `rediss`, `rediss+sentinel` and `rediss+cluster` are the same over TLS, with the roots of this system.
/// PORT is 6379, or 26379 for Sentinel. User, password, NAME and DATABASE may hold percent-encoded characters
/// (RFC 3986). User and password are those of Redis; sentinels are asked without. Neither `Display` nor
/// `Debug` shows the password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) nodes: Vec<(String, u16)>,
    pub(super) kind: Kind,
    pub(super) tls: bool,
    /// How many replicas have to have a write before it is answered.
    pub(super) replicas: u32,
    user: Option<String>,
    password: Option<Zeroizing<String>>,
    database: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Sentinel { name: String },
    Cluster,
}

impl RedisUrl {
    /// Whether it was written with a password.
    #[must_use]
    pub const fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Replaces the password, which is better read from a file than written where others can see it.
    #[must_use]
    pub fn with_password(mut self, password: Zeroizing<String>) -> Self {
        self.password = Some(password);
        self
    }

    /// A write is answered once so many replicas have it, too, and fails if they have it not within a second.
    /// It may nevertheless have been done.
    ///
    /// # Errors
    /// [`BadRedisUrl::WaitInCluster`].
    pub fn waiting_for(mut self, replicas: u32) -> Result<Self, BadRedisUrl> {
        if replicas > 0 && self.kind == Kind::Cluster {
            return Err(BadRedisUrl::WaitInCluster);
        }
        self.replicas = replicas;
        Ok(self)
    }

    /// The address of a node, as the library wants it.
    pub(super) fn address(&self, (host, port): &(String, u16)) -> ConnectionAddr {
        let (host, port) = (host.clone(), *port);
        match self.tls {
            false => ConnectionAddr::Tcp(host, port),
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        }
    }

    /// Who we are: RESP3, because notices arrive beside answers.
    pub(super) fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(self.database)
            .set_lib_name("peersox", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.as_str());
        }
        login
    }

    pub(super) fn nodes(&self) -> Result<Vec<redis::ConnectionInfo>, redis::RedisError> {
        let info = |node| {
            let info = self.address(node).into_connection_info()?;
            Ok(info.set_redis_settings(self.login()))
        };
        self.nodes.iter().map(info).collect()
    }
}

impl FromStr for RedisUrl {
    type Err = BadRedisUrl;

    fn from_str(text: &str) -> Result<Self, BadRedisUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadRedisUrl::Scheme)?;
        let (tls, kind) = match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("redis", kind) => (false, kind),
            ("rediss", kind) => (true, kind),
            _ => return Err(BadRedisUrl::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(BadRedisUrl::Query);
        }
        let (login, rest) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (nodes, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (kind, usual_port, database) = match kind {
            "" => (Kind::Single, 6379, path),
            "cluster" if path.is_empty() => (Kind::Cluster, 6379, ""),
            "cluster" => return Err(BadRedisUrl::Path),
            "sentinel" => {
                let (name, database) = path.split_once('/').unwrap_or((path, ""));
                let name = decoded(name)?;
                if name.is_empty() {
                    return Err(BadRedisUrl::Name);
                }
                (Kind::Sentinel { name }, 26379, database)
            }
            _ => return Err(BadRedisUrl::Scheme),
        };
        let nodes: Vec<_> = nodes
            .split(',')
            .zip(1..)
            .map(|(it, at)| node(it, at, usual_port))
            .collect::<Result<_, _>>()?;
        if kind == Kind::Single && nodes.len() > 1 {
            return Err(BadRedisUrl::Several);
        }
        let (user, password) = match login.map(|it| it.split_once(':').unwrap_or((it, ""))) {
            None => (None, None),
            Some((user, password)) => (some(decoded(user)?), some(decoded(password)?)),
        };
        let database = match database {
            "" => 0,
            digits => digits
                .parse::<u16>()
                .map_err(|_| BadRedisUrl::Database)?
                .into(),
        };
        Ok(Self {
            nodes,
            kind,
            tls,
            replicas: 0,
            user,
            password: password.map(Zeroizing::new),
            database,
        })
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn decoded(text: &str) -> Result<String, BadRedisUrl> {
    let text = percent_decode_str(text).decode_utf8();
    Ok(text.map_err(|_| BadRedisUrl::Encoding)?.into_owned())
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn node(text: &str, at: usize, usual_port: u16) -> Result<(String, u16), BadRedisUrl> {
    let bad = || BadRedisUrl::Node(at);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(bad)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (host, port)
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?,
        None if port.is_empty() => usual_port,
        None => return Err(bad()),
    };
    let is_part =
        |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_' | ':' | '%');
    match !host.is_empty() && host.chars().all(is_part) {
        true => Ok((host.to_owned(), port)),
        false => Err(bad()),
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss" } else { "redis" })?;
        f.write_str(match &self.kind {
            Kind::Single => "",
            Kind::Sentinel { .. } => "+sentinel",
            Kind::Cluster => "+cluster",
        })?;
        f.write_str("://")?;
        for (at, (host, port)) in self.nodes.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        if let Kind::Sentinel { name } = &self.kind {
            write!(f, "/{name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// Why a text is not the URL of a Redis. No message repeats any of it: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRedisUrl {
    /// It begins with something else.
    #[error(
        "it has to begin with redis://, redis+sentinel:// or redis+cluster://, or with rediss instead of \
         redis for TLS"
    )]
    Scheme,
    /// It has a part that means nothing here.
    #[error(
        "`?` and `#` mean nothing in it; write %3F and %23 if they belong to a name or a password"
    )]
    Query,
    /// It names no group of Redis servers.
    #[error("Sentinel needs the name of the master, as in redis+sentinel://HOST:26379/NAME")]
    Name,
    /// It has a path that means nothing here.
    #[error("a Cluster has no databases; leave out what follows the last node")]
    Path,
    /// It names several servers without saying what they are to each other.
    #[error("redis:// names one server; for several write redis+sentinel:// or redis+cluster://")]
    Several,
    /// Its database is not a number.
    #[error("the database has to be a number from 0 to 65535")]
    Database,
    /// Replicas of a Cluster cannot be waited for.
    #[error(
        "writes can wait for the replicas of one master, and not for those of a Cluster; set \
         min-replicas-to-write there"
    )]
    WaitInCluster,
    /// Its percent-encoding gives no text.
    #[error("a part of it is percent-encoded and is not UTF-8")]
    Encoding,
    /// The address of a node cannot be read; counted from 1.
    #[error("address {0} in it is not HOST or HOST:PORT; IPv6 addresses stand in brackets")]
    Node(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedisUrl, BadRedisUrl> {
        text.parse()
    }

    #[test]
    fn each_kind_is_read_and_shown_without_its_password() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000"),
            ("rediss://[2001:db8::1]", "rediss://[2001:db8::1]:6379"),
            ("rediss://me:s%40crt@r.example:1", "rediss://r.example:1"),
            (
                "redis+sentinel://a,b:1/main/2",
                "redis+sentinel://a:26379,b:1/main",
            ),
            (
                "rediss+cluster://:pw@a:1,[::1]:2",
                "rediss+cluster://a:1,[::1]:2",
            ),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("RedisUrl({shown})"));
        }
        let url = parse("rediss://me:s%40crt@r.example/7").unwrap();
        assert_eq!(url.user.as_deref(), Some("me"));
        assert_eq!(url.password.as_deref().map(String::as_str), Some("s@crt"));
        assert_eq!((url.database, url.tls), (7, true));
        let url = url.with_password("other".to_owned().into());
        assert_eq!(url.login().password(), Some("other"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, expected) in [
            ("localhost:6379", BadRedisUrl::Scheme),
            ("http://localhost", BadRedisUrl::Scheme),
            ("redis+ring://localhost", BadRedisUrl::Scheme),
            ("redis://localhost?db=1", BadRedisUrl::Query),
            ("redis+sentinel://localhost", BadRedisUrl::Name),
            ("redis+cluster://localhost/1", BadRedisUrl::Path),
            ("redis://a,b", BadRedisUrl::Several),
            ("redis://a/main", BadRedisUrl::Database),
            ("redis://u:%ff@a", BadRedisUrl::Encoding),
            ("redis://", BadRedisUrl::Node(1)),
            ("redis://a:0", BadRedisUrl::Node(1)),
            ("redis://a:b", BadRedisUrl::Node(1)),
            ("redis://[::1", BadRedisUrl::Node(1)),
            ("redis+cluster://a,", BadRedisUrl::Node(2)),
            ("redis://a b", BadRedisUrl::Node(1)),
        ] {
            assert_eq!(parse(text).err(), Some(expected), "{text}");
        }
    }
}
