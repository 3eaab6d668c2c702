//! Who may create codes, and who is told of pairings, from the flags.

use peersox_server::access::{Issuer, KeyFile, KeySetFile, KeySetSource};
use peersox_server::{Creators, Webhook, WebhookSecret};

use crate::args::auth::Kind;
use crate::args::{Role, Serve};
use crate::failure::Failure;

/// Who may create pairings.
pub(super) fn creators(args: &Serve) -> Result<Creators, Failure> {
    let auth = &args.auth;
    let kind = auth.auth;
    if args.role == Role::Relay && kind != Kind::None {
        return usage("a relay creates no pairings: --auth is for control");
    }
    if kind != Kind::Keys && auth.auth_keys_file.is_some() {
        return usage("--auth-keys-file is for --auth keys; add that");
    }
    let issuer = &auth.issuer;
    let texts = [
        &issuer.auth_issuer,
        &issuer.auth_audience,
        &issuer.auth_jwks,
    ];
    let is_named = texts.iter().any(|it| it.is_some()) || issuer.auth_quota.is_some();
    if kind != Kind::Jwt && is_named {
        return usage(
            "--auth-issuer, --auth-audience, --auth-jwks and --auth-quota are for --auth jwt; add that",
        );
    }
    match (kind, &auth.auth_keys_file, texts) {
        (Kind::None, ..) => Ok(Creators::Everybody),
        (Kind::Keys, Some(file), _) => {
            let keys = KeyFile::read(file).map_err(|error| Failure::File(error.to_string()))?;
            Ok(Creators::Keys(keys))
        }
        (Kind::Keys, None, _) => usage("--auth keys needs --auth-keys-file FILE"),
        (Kind::Jwt, _, [Some(name), Some(audience), Some(keys)]) => Ok(Creators::Tokens(Issuer {
            name: name.clone(),
            audience: audience.clone(),
            keys: key_set(keys)?,
            quota: issuer.auth_quota.unwrap_or_default(),
        })),
        (Kind::Jwt, _, _) => {
            usage("--auth jwt needs --auth-issuer, --auth-audience and --auth-jwks")
        }
    }
}

/// Who is told what happens to pairings.
pub(super) fn webhook(args: &Serve) -> Result<Option<Webhook>, Failure> {
    let (Some(url), Some(file)) = (&args.webhook.webhook, &args.webhook.webhook_secret_file) else {
        return Ok(None);
    };
    if args.role == Role::Relay {
        return usage("a relay tells control, and control tells others: --webhook is for control");
    }
    let secret = WebhookSecret::read(file);
    Ok(Some(Webhook {
        url: url.clone(),
        secret: secret.map_err(|error| Failure::File(error.to_string()))?,
    }))
}

/// What has a scheme is a URL, and everything else a file.
fn key_set(text: &str) -> Result<KeySetSource, Failure> {
    if text.contains("://") {
        let url = text.parse();
        let url = url.map_err(|error| Failure::Usage(format!("--auth-jwks: {error}")))?;
        return Ok(KeySetSource::Url(url));
    }
    let file = KeySetFile::read(text).map_err(Failure::File)?;
    Ok(KeySetSource::File(file))
}

fn usage<T>(text: &str) -> Result<T, Failure> {
    Err(Failure::Usage(text.to_owned()))
}
