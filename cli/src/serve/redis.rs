//! Redis, by the flags that name it.

use std::ffi::OsString;

use peersox_server::store::{self, Redis, RedisUrl};

use super::unusable;
use crate::args::Serve;
use crate::failure::Failure;

pub(super) async fn connect(url: &str, args: &Serve) -> Result<Redis, Failure> {
    let connected = Redis::connect(self::url(url, args)?).await;
    connected.map_err(|error| Failure::Unreachable(error.to_string()))
}

pub(super) fn url(url: &str, args: &Serve) -> Result<RedisUrl, Failure> {
    // Nothing of it is repeated: it may hold a password.
    let usage = |error| Failure::Usage(format!("the URL of Redis cannot be used: {error}"));
    let url: RedisUrl = url.parse().map_err(usage)?;
    let url = url.waiting_for(args.redis_wait).map_err(usage)?;
    let in_argv = |it: &OsString| it == "--redis" || it.as_encoded_bytes().starts_with(b"--redis=");
    if url.has_password() && std::env::args_os().any(|argument| in_argv(&argument)) {
        return Err(Failure::Usage(
            "every user of this machine can read a password on the command line; write it to a file and say \
             --redis-password-file FILE, or set PEERSOX_REDIS to the URL"
                .to_owned(),
        ));
    }
    Ok(match &args.redis_password_file {
        None => url,
        Some(file) => url.with_password(store::read_password(file).map_err(unusable)?),
    })
}
