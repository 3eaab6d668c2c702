//! Flags about who may create codes: those of the server, those of a client, and `peersox key`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use peersox_server::access::{KeyName, Quota};

/// Who may create pairings on a server.
#[derive(Debug, Args)]
pub(crate) struct Auth {
    /// Who may create codes. Joining needs nothing but the code.
    #[arg(long, env = "PEERSOX_AUTH", value_enum, default_value_t)]
    pub(crate) auth: Kind,

    /// With `--auth keys`: file with a line for each key, as `peersox key NAME` writes it, readable by its
    /// owner only. It is read again when it changes, and on SIGHUP.
    #[arg(
        long,
        env = "PEERSOX_AUTH_KEYS_FILE",
        required_if_eq("auth", "keys"),
        value_name = "FILE"
    )]
    pub(crate) auth_keys_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) issuer: Issuer,
}

/// Whose tokens are good.
#[derive(Debug, Args)]
pub(crate) struct Issuer {
    /// With `--auth jwt`: who has to have issued a token, its claim `iss`.
    #[arg(
        long,
        env = "PEERSOX_AUTH_ISSUER",
        required_if_eq("auth", "jwt"),
        value_name = "NAME"
    )]
    pub(crate) auth_issuer: Option<String>,

    /// With `--auth jwt`: for whom a token has to be, in its claim `aud`.
    #[arg(
        long,
        env = "PEERSOX_AUTH_AUDIENCE",
        required_if_eq("auth", "jwt"),
        value_name = "NAME"
    )]
    pub(crate) auth_audience: Option<String>,

    /// With `--auth jwt`: the issuer's public keys as a JSON Web Key Set: a URL of https, which is fetched
    /// again in time and when a token names another key, or a file, which is read again when it changes.
    #[arg(
        long,
        env = "PEERSOX_AUTH_JWKS",
        required_if_eq("auth", "jwt"),
        value_name = "URL|FILE"
    )]
    pub(crate) auth_jwks: Option<String>,

    /// With `--auth jwt`: what one subject may hold whose token does not say so, as in `pairings=10
    /// sessions=2 bytes=5G`. Default: no bound.
    #[arg(long, env = "PEERSOX_AUTH_QUOTA", value_name = "QUOTA")]
    pub(crate) auth_quota: Option<Quota>,
}

/// What somebody has to show who creates a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Nothing.
    #[default]
    None,
    /// A key of `--auth-keys-file`.
    Keys,
    /// A JSON Web Token of `--auth-issuer`.
    Jwt,
}

/// What a client shows to a server that asks for it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Credential {
    /// File with the key or token for a server that lets only those create codes who have one, readable by
    /// its owner only.
    #[arg(long, env = "PEERSOX_AUTH_TOKEN_FILE", value_name = "FILE")]
    pub(crate) auth_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peersox key ci >> keys            shows the key, and adds its line to the file of --auth-keys-file
  (umask 077; peersox key ci >> keys 2> ci.key)   writes both to files that nobody else reads")]
pub(crate) struct NewKey {
    /// Whose key it is: 1 to 64 of letters, digits, `.`, `_` and `-`.
    #[arg(value_name = "NAME")]
    pub(crate) name: KeyName,
}
