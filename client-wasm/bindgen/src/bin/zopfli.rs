//! Compresses once what many people download: input to output, a twentieth smaller than `gzip -9` makes it.
//!
//! usage: `peersox-zopfli gzip|deflate`

use std::io::{stdin, stdout};

use anyhow::{Context as _, bail};
use zopfli::{Format, Options};

fn main() -> anyhow::Result<()> {
    let format = match std::env::args().nth(1).as_deref() {
        Some("gzip") => Format::Gzip,
        Some("deflate") => Format::Deflate,
        _ => bail!("usage: peersox-zopfli gzip|deflate"),
    };
    zopfli::compress(Options::default(), format, stdin(), stdout()).context("compressing failed")
}
