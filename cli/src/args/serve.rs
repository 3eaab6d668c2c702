//! The flags of `peersox serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use peersox_server::role::ControlUrl;
use peersox_server::{AcmeName, Network, Origin, PublicUrl, RelayName, ice};

use super::auth::Auth;
use super::webhook::Webhook;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox serve                                   on port 3000, for this network
  peersox serve --listen 127.0.0.1:8080           for this machine only
  peersox serve --tls-cert c.pem --tls-key k.pem  with TLS for everything
  peersox serve --state peersox.state             remembers pairings over a restart
  peersox serve --listen [::]:443 --state peersox.state --acme p.example   gets a certificate by itself
  peersox serve --redis redis://redis.example     keeps them in Redis
  peersox serve --role control --redis URL --secret-file FILE --control-token-file FILE
  peersox serve --role relay --control URL --control-token-file FILE --public-url https://r1.example
  peersox serve --public-url https://p.example    behind a proxy that terminates TLS
  peersox serve --config peersox.toml             with flags from a file")]
pub(crate) struct Serve {
    /// Address for TCP (gRPC, gRPC-Web, WebSocket, page) and UDP (QUIC, STUN). Default: port 3000 of every
    /// address of this machine, IPv6 and IPv4.
    #[arg(long, env = "PEERSOX_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Certificate chain in PEM, for TLS on TCP and for QUIC. This file and that of the key are read again
    /// when they change, and on SIGHUP.
    #[arg(
        long,
        env = "PEERSOX_TLS_CERT",
        requires = "tls_key",
        value_name = "FILE"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key in PEM.
    #[arg(
        long,
        env = "PEERSOX_TLS_KEY",
        requires = "tls_cert",
        value_name = "FILE"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// Name for which a certificate is ordered by ACME, for TLS on TCP and for QUIC, as in `p.example`, and
    /// renewed in time. It has to lead the authority here: port 443 to the port of `--listen`, or port 80
    /// to that of `--acme-http`. Needs `--state`. You agree to the terms of the authority. May be repeated.
    #[arg(
        long,
        env = "PEERSOX_ACME",
        value_delimiter = ',',
        conflicts_with = "tls_cert",
        value_name = "NAME"
    )]
    pub(crate) acme: Vec<AcmeName>,

    /// Where the authority may write to about its account. Default: nowhere.
    #[arg(
        long,
        env = "PEERSOX_ACME_EMAIL",
        requires = "acme",
        value_name = "ADDRESS"
    )]
    pub(crate) acme_email: Option<String>,

    /// Address for HTTP-01, as in `[::]:80`, where everything else is sent to https. It is tried before
    /// TLS-ALPN-01 then. Default: none, and TLS-ALPN-01 on the port of `--listen`.
    #[arg(
        long,
        env = "PEERSOX_ACME_HTTP",
        requires = "acme",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) acme_http: Option<SocketAddr>,

    /// Directory of the authority. Default: that of Let's Encrypt.
    #[arg(
        long,
        env = "PEERSOX_ACME_DIRECTORY",
        requires = "acme",
        value_name = "URL"
    )]
    pub(crate) acme_directory: Option<String>,

    /// Certificate authority in PEM by which the directory is verified, beside those of this machine.
    #[arg(
        long,
        env = "PEERSOX_ACME_ROOT",
        requires = "acme",
        value_name = "FILE"
    )]
    pub(crate) acme_root: Option<PathBuf>,

    /// With TLS: seconds for which browsers that have seen this server call it over TLS only
    /// (Strict-Transport-Security). 0 switches that off, also in browsers that were told before.
    #[arg(long, env = "PEERSOX_HSTS_MAX_AGE", default_value_t = 2_592_000, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=63_072_000))]
    pub(crate) hsts_max_age: u64,

    /// How peers reach this server, as in `https://p.example`. Default: as each of them called it.
    #[arg(long, env = "PEERSOX_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,

    /// File that keeps pairings and keys over a restart; created if it does not exist, for one
    /// server at a time. Certificates are kept beside it, in the folder FILE.tls; a relay alone keeps
    /// nothing but these. Default: memory, and devices pair again after a restart.
    #[arg(long, env = "PEERSOX_STATE", value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// Redis 7 that keeps pairings, as in `redis://HOST`, `redis+sentinel://HOST,HOST/NAME` or
    /// `redis+cluster://HOST,HOST`; `rediss` instead of `redis` for TLS, `USER@` before the first host for
    /// a user other than the default one. It has to be there within 8 s when the server starts.
    #[arg(
        long,
        env = "PEERSOX_REDIS",
        hide_env_values = true,
        conflicts_with = "state",
        value_name = "URL"
    )]
    pub(crate) redis: Option<String>,

    /// File with the password for Redis, readable by its owner only.
    #[arg(
        long,
        env = "PEERSOX_REDIS_PASSWORD_FILE",
        requires = "redis",
        value_name = "FILE"
    )]
    pub(crate) redis_password_file: Option<PathBuf>,

    /// How many replicas of Redis have to have a pairing before a device is told that it is made, redeemed
    /// or revoked. Where they do not answer within a second, the device is told to try again.
    #[arg(
        long,
        env = "PEERSOX_REDIS_WAIT",
        requires = "redis",
        default_value_t = 0,
        value_name = "REPLICAS",
        value_parser = clap::value_parser!(u32).range(0..=16)
    )]
    pub(crate) redis_wait: u32,

    /// File with the secret from which the keys of this server follow, readable by its owner only: lines of
    /// 64 hexadecimal digits, as `openssl rand -hex 32` writes one. The first signs tickets, and those of
    /// all are believed. Default: the state file has one; without, a new one at each start.
    #[arg(
        long,
        env = "PEERSOX_SECRET_FILE",
        conflicts_with = "state",
        value_name = "FILE"
    )]
    pub(crate) secret_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) auth: Auth,

    #[command(flatten)]
    pub(crate) webhook: Webhook,

    /// Unix socket for `peersox status`, `pairings`, `revoke`, `rotate`, `log` and `drain`, for this user
    /// only. Default: none.
    #[arg(long, env = "PEERSOX_ADMIN_SOCKET", value_name = "PATH")]
    pub(crate) admin_socket: Option<PathBuf>,

    /// Address that answers `GET /metrics` with what the server counts (OpenMetrics), without TLS and to
    /// everybody who gets there, as in 127.0.0.1:9464. Default: none.
    #[arg(long, env = "PEERSOX_METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// How a line of the log is written: for people, or as one object of JSON. In the second form all that
    /// the server says is such a line.
    #[arg(long, env = "PEERSOX_LOG_FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,

    /// What this process is: control and the one relay there is, or one of the two of a service that runs
    /// on several machines.
    #[arg(long, env = "PEERSOX_ROLE", value_enum, default_value_t)]
    pub(crate) role: Role,

    /// For a relay: where control is, as in `http://10.0.0.1:3000`. The relay announces itself at every
    /// address of the name. May be repeated.
    #[arg(
        long,
        env = "PEERSOX_CONTROL",
        value_delimiter = ',',
        required_if_eq("role", "relay"),
        value_name = "URL"
    )]
    pub(crate) control: Vec<ControlUrl>,

    /// File with the token that relays show to control, readable by its owner only, the same for all of them:
    /// `openssl rand -hex 32` writes one. For both roles.
    #[arg(
        long,
        env = "PEERSOX_CONTROL_TOKEN_FILE",
        required_if_eq_any([("role", "relay"), ("role", "control")]),
        value_name = "FILE"
    )]
    pub(crate) control_token_file: Option<PathBuf>,

    /// For a relay: certificate authority of control in PEM, trusted beside those of this machine.
    #[arg(
        long,
        env = "PEERSOX_CONTROL_CA",
        requires = "control",
        value_name = "FILE"
    )]
    pub(crate) control_ca: Option<PathBuf>,

    /// For a relay: its name, the same after a restart, and of this relay only: 1 to 64 of `a-z`, `0-9`,
    /// `-` and `.`. Default: host and port of `--public-url`, as in `r1.example-3000`.
    #[arg(long, env = "PEERSOX_RELAY_NAME", value_name = "NAME")]
    pub(crate) relay_name: Option<RelayName>,

    /// The region of this node, for relays and control: peers are sent to a relay of control's region if
    /// there is one with room.
    #[arg(
        long,
        env = "PEERSOX_REGION",
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) region: String,

    /// Web origin allowed to call this server, as in `https://app.example`. May be repeated.
    /// Default: only pages that this server serves itself.
    #[arg(
        long,
        env = "PEERSOX_ALLOW_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub(crate) allow_origin: Vec<Origin>,

    /// Proxy, or network of proxies, that is believed about the address of a client. May be repeated.
    /// Default: none.
    #[arg(
        long,
        env = "PEERSOX_TRUST_PROXY",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub(crate) trust_proxy: Vec<Network>,

    /// The header in which trusted proxies write the address of a client. What a client itself writes there
    /// has to be replaced or added to by the proxy.
    #[arg(long, env = "PEERSOX_PROXY_HEADER", value_enum, default_value_t)]
    pub(crate) proxy_header: ProxyHeader,

    /// Trusted proxies begin each connection with the address of its client (PROXY protocol, version 1 or 2),
    /// before TLS. Each of them has to, and nobody else may.
    #[arg(long, env = "PEERSOX_PROXY_PROTOCOL", requires = "trust_proxy")]
    pub(crate) proxy_protocol: bool,

    /// Network whose addresses have no budgets and no shares of their own: one's own NAT, or a bench. May be
    /// repeated. Default: none.
    #[arg(
        long,
        env = "PEERSOX_UNMETERED",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub(crate) unmetered: Vec<Network>,

    /// Do not listen for QUIC on UDP.
    #[arg(long, env = "PEERSOX_NO_QUIC")]
    pub(crate) no_quic: bool,

    /// Do not answer STUN on UDP, and do not name this server to peers as a STUN server.
    #[arg(long, env = "PEERSOX_NO_STUN")]
    pub(crate) no_stun: bool,

    /// STUN or TURN server handed to peers, as in `stun:stun.example` or
    /// `turns:turn.example:5349?transport=tcp`. May be repeated. TURN needs `--turn-secret-file`.
    /// Default: STUN of this server, on the UDP port of QUIC.
    #[arg(
        long,
        env = "PEERSOX_ICE_SERVER",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub(crate) ice_server: Vec<ice::ServerUrl>,

    /// File with the secret of the TURN servers (`static-auth-secret` of coturn), readable by its
    /// owner only. Peers get credentials made from it.
    #[arg(long, env = "PEERSOX_TURN_SECRET_FILE", value_name = "FILE")]
    pub(crate) turn_secret_file: Option<PathBuf>,

    /// Seconds for which credentials for the TURN servers are valid. Peers that need them later ask
    /// again.
    #[arg(long, env = "PEERSOX_TURN_LIFETIME", default_value_t = 43_200, value_name = "SECONDS",
          requires = "turn_secret_file",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) turn_lifetime: u64,

    /// The fewest digits of a nameplate, 4 to 12. Codes have more where the odds of guessing ask for
    /// it: with the longest life of a day, six at least.
    #[arg(long, env = "PEERSOX_DIGITS", default_value_t = 6,
          value_parser = clap::value_parser!(u8).range(4..=12))]
    pub(crate) digits: u8,

    /// Seconds for which a code can be joined after its creator was last heard of.
    #[arg(long, env = "PEERSOX_CODE_TTL", default_value_t = 130, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) code_ttl: u64,

    /// Seconds for which a code can be joined at most, however long its creator waits. A shorter time
    /// allows for fewer digits.
    #[arg(long, env = "PEERSOX_CODE_MAX", default_value_t = 86_400, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) code_max: u64,

    /// Seconds for which a pairing is remembered after both peers have left, unless one of them asked
    /// to keep it.
    #[arg(long, env = "PEERSOX_UNKEPT_TTL", default_value_t = 600, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) unkept_ttl: u64,

    /// Largest frame in bytes.
    #[arg(long, env = "PEERSOX_MAX_FRAME", default_value_t = 65_536, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(4_096..=1_048_576))]
    pub(crate) max_frame: u32,

    /// Bytes of reliable frames held per direction of a session before its sender is slowed.
    #[arg(long, env = "PEERSOX_HOLD", default_value_t = 131_072, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(65_536..=16_777_216))]
    pub(crate) hold: u32,

    /// Bytes of memory for all frames that wait, the buffers of transports included.
    #[arg(long, env = "PEERSOX_RELAY_MEMORY", default_value_t = 536_870_912, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(4_194_304..=1_099_511_627_776))]
    pub(crate) relay_memory: u64,

    /// Bytes per second that one peer may send through the relay before it is slowed down; each frame counts
    /// 256 bytes more. An address may send four times as much.
    #[arg(long, env = "PEERSOX_LEG_RATE", default_value_t = 1_073_741_824, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(65_536..=1_099_511_627_776))]
    pub(crate) leg_rate: u64,

    /// Serve gRPC reflection.
    #[arg(long, env = "PEERSOX_REFLECTION")]
    pub(crate) reflection: bool,

    /// Seconds for which a lost peer is waited for.
    #[arg(long, env = "PEERSOX_PARK_GRACE", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) park_grace: u32,

    /// Seconds for which peers may find another relay after a signal to stop.
    #[arg(long, env = "PEERSOX_DRAIN_GRACE", default_value_t = 2, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) drain_grace: u64,

    /// File of TOML with flags as keys, as in `listen = "[::]:443"` and `no-quic = true`. What is typed, and
    /// what the environment says, stands instead of what the file says. Default: none.
    #[arg(long, env = "PEERSOX_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Read all that the server would start with, say what it would be and where each value comes from, and
    /// end.
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// What one process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Control and the one relay there is.
    #[default]
    All,
    /// Control alone; it needs `--control-token-file`, and `--redis` and `--secret-file` if there are
    /// several.
    Control,
    /// A relay alone; it needs `--control`, `--control-token-file` and `--public-url`.
    Relay,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Time, level, sentence and fields.
    #[default]
    Text,
    /// The same as an object: `{"timestamp":…,"level":…,"message":…}`.
    Json,
}

/// In which header proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyHeader {
    /// `X-Forwarded-For: 192.0.2.7`, with or without a port.
    #[default]
    XForwardedFor,
    /// `Forwarded: for="[2001:db8::1]:443"` (RFC 7239).
    Forwarded,
}
