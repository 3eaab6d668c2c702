//! `peersox serve`: the server of `peersox-server`, with the page as its embedder's routes.
//!
//! ```text
//! flags, environment ── ServerConfig ─┐
//! --state, --redis ── store, secret ──┼─► Server ── greeting ── a signal, or `drain` ── shutdown
//! page ───────────── routes ──────────┘
//! ```

mod asset;
mod auth;
pub(crate) mod check;
mod page;
mod redis;
mod share;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use peersox_server::ice::{self, Mismatch, Servers};
use peersox_server::role::{self, ControlRole, RelayRole};
use peersox_server::state::{self, Secret};
use peersox_server::store::{AnyStore, Memory};
use peersox_server::{
    AcmeConfig, AcmeError, BindError, CertificateFiles, CertificateSource, Digits, Handle,
    ProxyHeader, PublicUrl, RelayName, Role, Server, ServerConfig, pairing,
};
use serde_json::json;

use crate::admin::{Desk, Origin};
use crate::args::{self, Serve};
use crate::failure::Failure;
use crate::greeting::{self, Place};
use crate::reach;
use crate::signals::{Signals, Stop, Terminal};
use crate::telemetry::{Filter, Metrics};
use crate::terminal::Voice;

pub(crate) async fn run(
    args: Serve,
    filter: Filter,
    metrics: Option<Metrics>,
) -> anyhow::Result<()> {
    let (server, secret) = start(&args).await?;
    let pushing = metrics.map(|metrics| metrics.push(server.handle()));
    let desk = args.admin_socket.as_deref();
    let desk = desk.map(|path| Desk::open(path, &server, filter, secret));
    let desk = desk.transpose()?;
    // Who reads the greeting may ask it to stop at once.
    let mut signals = Signals::listen()?;
    let asked = async {
        match &desk {
            Some(desk) => desk.drain().await,
            None => std::future::pending().await,
        }
    };
    let (handle, terminal) = (server.handle(), Terminal::now());
    let settled = handle.certificate_settled();
    tokio::pin!(asked, settled);
    let mut is_greeted = false;
    loop {
        let stop = tokio::select! {
            biased;
            // Who reads where the server is finds it there, if it gets its certificate at once.
            () = &mut settled, if !is_greeted => {
                is_greeted = true;
                greet(&server, &args);
                continue;
            }
            stop = signals.next() => stop,
            () = &mut asked => break,
        };
        // A daemon reads its files again; the HUP of a closed terminal ends a server, as it ends every
        // command.
        let reloads = stop == Stop::HangUp && !terminal.is_gone();
        // Each of the two is asked.
        if !(reloads && (handle.reload_certificate() | handle.reload_creators())) {
            break;
        }
    }
    let voice = Voice::new(args.log_format == args::LogFormat::Json);
    let stopping = json!({"event": "stopping"});
    voice.say("stopping; a second signal stops at once", &stopping);
    let grace = args.drain_grace;
    let stopped = tokio::select! {
        cut_off = server.shutdown(Duration::from_secs(grace)) => match (args.role, cut_off) {
            // Where one process is all there is, peers come back to the next one.
            (args::Role::All | args::Role::Control, _) | (_, 0) => Ok(()),
            (args::Role::Relay, count) => Err(Failure::CutOff { count, grace }.into()),
        },
        second = signals.next() => return Err(Failure::Stopped(second).into()),
    };
    if let Some(pushing) = pushing {
        tokio::select! {
            () = pushing.end() => {}
            second = signals.next() => return Err(Failure::Stopped(second).into()),
        }
    }
    stopped
}

async fn start(args: &Serve) -> anyhow::Result<(Server, Origin)> {
    let config = config(args)?;
    let Opened {
        store,
        secret,
        former,
        origin,
    } = open(args, &config.pairing).await?;
    let role = role(args)?;
    let origin = match role {
        Role::Relay(_) => Origin::Elsewhere,
        Role::All | Role::Control(_) => origin,
    };
    let public = args.public_url.as_ref().map(PublicUrl::origin);
    // The page names the relays that it may connect to, which are known once the server runs.
    let running = Arc::new(OnceLock::<Handle>::new());
    let routes = match role {
        Role::Relay(_) => page::none(),
        Role::All | Role::Control(_) => {
            let running = Arc::clone(&running);
            let relays = move || running.get().map(Handle::relay_origins).unwrap_or_default();
            page::router(public, relays)
        }
    };
    let builder = Server::builder()
        .config(config)
        .store(store)
        .secret(secret)
        .former_secrets(former)
        .role(role)
        .routes(routes);
    let server = builder.bind().await.map_err(in_flags)?;
    let _ = running.set(server.handle());
    Ok((server, origin))
}

/// What this process is.
fn role(args: &Serve) -> Result<Role, Failure> {
    let token = || {
        let file = args.control_token_file.as_deref();
        let file =
            file.ok_or_else(|| Failure::Usage("--control-token-file is missing".to_owned()))?;
        role::read_token(file).map_err(unusable)
    };
    let usage = |text: &str| Failure::Usage(text.to_owned());
    Ok(match args.role {
        args::Role::All => {
            if args.control_token_file.is_some() || !args.control.is_empty() {
                return Err(usage(
                    "--control and --control-token-file are for --role relay and --role control",
                ));
            }
            Role::All
        }
        args::Role::Control => Role::Control(ControlRole {
            token: token()?,
            region: args.region.clone(),
        }),
        args::Role::Relay => {
            if args.redis.is_some() || args.secret_file.is_some() {
                return Err(usage(
                    "a relay keeps no pairings: --redis and --secret-file are for control",
                ));
            }
            let read = |file| std::fs::read(file).map_err(|error| unreadable(file, &error));
            Role::Relay(RelayRole {
                controls: args.control.clone(),
                token: token()?,
                name: relay_name(args)?,
                region: args.region.clone(),
                authorities: args.control_ca.as_deref().map(read).transpose()?,
            })
        }
    })
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::File(format!("cannot read {}: {error}", file.display()))
}

/// The name of a relay: what the operator says, or what follows from where peers reach it:
/// `https://r1.example:3000` is `r1.example-3000`.
fn relay_name(args: &Serve) -> Result<RelayName, Failure> {
    if let Some(name) = &args.relay_name {
        return Ok(name.clone());
    }
    let url = args.public_url.as_ref().ok_or_else(|| {
        Failure::Usage("a relay has to say how peers reach it; add --public-url URL".to_owned())
    })?;
    let origin = url.origin().to_string();
    let host = origin
        .split_once("://")
        .map_or(origin.as_str(), |(_, host)| host);
    let name = host.replace(['[', ']'], "").replace(':', "-");
    name.parse().map_err(|error| {
        let why = format!("no name follows from --public-url ({error}); add --relay-name NAME");
        Failure::Usage(why)
    })
}

/// Says where to go next, to the person who started it.
fn greet(server: &Server, args: &Serve) {
    let public = args.public_url.is_some().then(|| server.url().to_owned());
    let port = server.local_addr().port();
    let ordered = args.acme.first().map(|name| match port {
        443 => format!("https://{name}"),
        port => format!("https://{name}:{port}"),
    });
    let public = public.or(ordered);
    let controls: Vec<_> = args.control.iter().map(ToString::to_string).collect();
    let controls = controls.join(", ");
    let name = relay_name(args)
        .ok()
        .filter(|_| args.role == args::Role::Relay);
    let place = Place {
        address: server.local_addr(),
        tls: args.tls_cert.is_some() || !args.acme.is_empty(),
        quic: !args.no_quic && args.role != args::Role::Control,
        public: public.as_deref(),
        relay: name.as_ref().map(|name| (name.as_str(), controls.as_str())),
    };
    let lines = greeting::lines(&place, &reach::addresses());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let ready = json!({"event": "ready", "address": server.local_addr(), "url": server.url()});
    Voice::new(args.log_format == args::LogFormat::Json).say_lines(&lines, &ready);
}

/// Where pairings are kept, and what tickets are signed with.
struct Opened {
    store: AnyStore,
    secret: Secret,
    former: Vec<Secret>,
    origin: Origin,
}

/// Of the state file, of Redis and the secret file, or what ends with the process.
async fn open(args: &Serve, pairing: &pairing::Config) -> Result<Opened, Failure> {
    // A relay has nothing there but its certificates.
    let state = args.state.as_ref();
    if let Some(file) = state.filter(|_| args.role != args::Role::Relay) {
        let opened = state::open(file, pairing).await;
        let (store, secret) = opened.map_err(unusable)?;
        return Ok(Opened {
            origin: Origin::State(store.kept_secret()),
            store: AnyStore::File(store),
            secret,
            former: Vec::new(),
        });
    }
    let secrets = args.secret_file.as_deref().map(state::read_secrets);
    let mut secrets = secrets
        .transpose()
        .map_err(unusable)?
        .unwrap_or_default()
        .into_iter();
    let secret = secrets.next().unwrap_or_else(Secret::random);
    let store = match &args.redis {
        None => AnyStore::Memory(Memory::default()),
        Some(url) => AnyStore::Redis(redis::connect(url, args).await?),
    };
    let origin = match &args.secret_file {
        Some(path) => Origin::SecretFile(path.clone()),
        None => Origin::Drawn,
    };
    Ok(Opened {
        store,
        secret,
        former: secrets.collect(),
        origin,
    })
}

/// Whether a server could start with these flags: reads all the files that they name, and touches nothing
/// else.
fn judge(args: &Serve) -> anyhow::Result<()> {
    let config = config(args)?;
    config.validate()?;
    role(args)?;
    let secrets = args.secret_file.as_deref().map(state::read_secrets);
    secrets.transpose().map_err(unusable)?;
    if let Some(url) = &args.redis {
        redis::url(url, args)?;
    }
    if let Some(file) = args.state.as_deref().filter(|it| it.is_dir()) {
        let why = format!("{} is a folder, and no file of state", file.display());
        return Err(Failure::File(why).into());
    }
    Ok(())
}

fn unusable(error: impl std::error::Error) -> Failure {
    Failure::File(error.to_string())
}

fn config(args: &Serve) -> Result<ServerConfig, Failure> {
    let defaults = ServerConfig::default();
    Ok(ServerConfig {
        listen: args.listen,
        metrics_listen: args.metrics_listen,
        tls: certificate(args)?,
        certificate_folder: args.state.as_deref().map(certificate_folder),
        hsts: Duration::from_secs(args.hsts_max_age),
        public_url: args.public_url.clone(),
        quic: !args.no_quic,
        stun: !args.no_stun,
        allowed_origins: args.allow_origin.clone(),
        trusted_proxies: args.trust_proxy.clone(),
        proxy_header: match args.proxy_header {
            args::ProxyHeader::XForwardedFor => ProxyHeader::XForwardedFor,
            args::ProxyHeader::Forwarded => ProxyHeader::Forwarded,
        },
        proxy_protocol: args.proxy_protocol,
        unmetered: args.unmetered.clone(),
        ice_servers: ice_servers(args)?,
        creators: auth::creators(args)?,
        webhook: auth::webhook(args)?,
        pairing: pairing::Config {
            digits: Digits::new(args.digits).unwrap_or_default(),
            code_ttl: Duration::from_secs(args.code_ttl),
            code_max: Duration::from_secs(args.code_max),
            unkept_ttl: Duration::from_secs(args.unkept_ttl),
            ..defaults.pairing
        },
        max_frame: args.max_frame,
        hold: args.hold,
        relay_memory: args.relay_memory,
        leg_rate: args.leg_rate,
        park_grace: Duration::from_secs(args.park_grace.into()),
        reflection: args.reflection,
        ..defaults
    })
}

/// The certificate given on the command line.
fn certificate(args: &Serve) -> Result<Option<CertificateSource>, Failure> {
    match (&args.tls_cert, &args.tls_key) {
        (Some(chain), Some(key)) => {
            let files = CertificateFiles::read(chain, key).map_err(unusable)?;
            Ok(Some(files.into()))
        }
        _ if args.acme.is_empty() => Ok(None),
        _ => acme(args).map(|acme| Some(acme.into())),
    }
}

/// The certificate that is ordered.
fn acme(args: &Serve) -> Result<AcmeConfig, Failure> {
    if args.state.is_none() {
        let hint =
            "--acme keeps its account and its certificate beside the state file; add --state FILE";
        let hint = match &args.redis {
            None => hint.to_owned(),
            Some(_) => format!("{hint} instead of --redis, or use certificate files (--tls-cert)"),
        };
        return Err(Failure::Usage(hint));
    }
    let read = |file: &PathBuf| std::fs::read(file).map_err(|error| unreadable(file, &error));
    let mut acme = AcmeConfig::new(args.acme.clone());
    acme.email.clone_from(&args.acme_email);
    acme.http_listen = args.acme_http;
    acme.roots = args.acme_root.as_ref().map(read).transpose()?;
    if let Some(directory) = &args.acme_directory {
        acme.directory.clone_from(directory);
    }
    Ok(acme)
}

/// Where certificates are kept: beside the state file, whose folder has to be there and writable, too.
fn certificate_folder(state: &Path) -> PathBuf {
    let mut folder = state.as_os_str().to_owned();
    folder.push(".tls");
    folder.into()
}

/// Which servers for ICE peers are told of, with the secret of the TURN servers among them.
fn ice_servers(args: &Serve) -> Result<Servers, Failure> {
    let secret = args.turn_secret_file.as_deref().map(ice::read_secret);
    let secret = secret.transpose();
    let secret = secret.map_err(|error| Failure::File(error.to_string()))?;
    let lifetime = Duration::from_secs(args.turn_lifetime);
    Servers::new(args.ice_server.clone(), secret, lifetime).map_err(|error| {
        Failure::Usage(match error {
            Mismatch::NoSecret(url) => format!(
                "no browser uses {url} without a password; write the secret that coturn has as \
                 static-auth-secret (with use-auth-secret) to a file and say --turn-secret-file FILE"
            ),
            Mismatch::NoTurn => "--turn-secret-file is for TURN servers; name one with \
                                 --ice-server turn:HOST"
                .to_owned(),
        })
    })
}

/// Why the server did not start, with the flags that help.
fn in_flags(error: BindError) -> anyhow::Error {
    match error {
        BindError::Listen { address, source } => {
            let asked = address.map(|address| address.to_string());
            let asked = asked.unwrap_or_else(|| "port 3000".to_owned());
            let hint = format!("cannot listen on {asked}; choose another port with --listen");
            anyhow::Error::new(source).context(hint)
        }
        BindError::AcmeHttp { address, source } => {
            let hint = format!("cannot listen on {address}; choose another address with --acme-http");
            anyhow::Error::new(source).context(hint)
        }
        BindError::Acme(error) => Failure::Usage(match error {
            AcmeError::NotPublic(name) => format!(
                "`{name}` is no public name, and Let's Encrypt issues certificates for public names only; \
                 name an authority of your own network with --acme-directory URL, or use certificate files \
                 (--tls-cert)"
            ),
            AcmeError::Directory(url) => format!(
                "--acme-directory {url} is no URL of a directory; write it as in https://ca.example/directory"
            ),
            AcmeError::Email(email) => format!("--acme-email {email} is no address for mail"),
            AcmeError::Roots => "the file of --acme-root holds no certificate in PEM".to_owned(),
            other @ AcmeError::Folder { .. } => return unusable(other).into(),
            other => other.to_string(),
        })
        .into(),
        BindError::Quic { address, source } => {
            let hint = format!("cannot listen for QUIC on UDP {address}; --no-quic does without");
            anyhow::Error::new(source).context(hint)
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn parsed(flags: &[&str]) -> Result<ServerConfig, String> {
        let line = [&["peersox", "serve"], flags].concat();
        let cli = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
        let Command::Serve(args) = cli.command else {
            panic!("{flags:?} is for a server");
        };
        config(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_without_flags_has_the_defaults_of_the_library() {
        // Neither a certificate nor the secret of TURN servers is among what is compared.
        let (flags, library) = (parsed(&[]).unwrap(), ServerConfig::default());
        assert_eq!(
            format!("{flags:?}"),
            format!("{library:?}").replace("lifetime: 0ns", "lifetime: 43200s")
        );
    }

    #[test]
    fn flags_take_what_the_library_takes() {
        let rows: [(&str, RangeInclusive<u64>); 5] = [
            ("--max-frame", ServerConfig::MAX_FRAME),
            ("--hold", ServerConfig::HOLD),
            ("--relay-memory", ServerConfig::RELAY_MEMORY),
            ("--leg-rate", ServerConfig::LEG_RATE),
            ("--park-grace", ServerConfig::PARK_GRACE),
        ];
        for (flag, range) in rows {
            for value in [*range.start(), *range.end()] {
                let config = parsed(&[flag, &value.to_string()]).unwrap();
                assert_eq!(config.validate(), Ok(()), "{flag} {value}");
            }
            for value in [range.start() - 1, range.end() + 1] {
                let error = parsed(&[flag, &value.to_string()]).unwrap_err();
                assert!(error.contains("is not in"), "{flag} {value}: {error}");
            }
        }
    }
}
