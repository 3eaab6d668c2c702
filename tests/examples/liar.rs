//! `liar [WORD…]`: the server that lies, for tests in other languages.
//!
//! Prints its URL. Then each line on standard input is answered with how many codes it made, and how many of
//! them it made a guess at. It ends with its input.
//!
//! ```text
//! alone       the other device does not seem to come
//! says=N      it lies after N messages of its guess; without it, it plays to the end
//! joined expired revoked notices vanish close=NUMBER
//!             how it lies, in this order
//! swapped     each transport is said to be where another service listens
//! ```

use std::io::BufRead as _;

use peersox_tests::liar::{Liar, Lie, Manners};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut manners = Manners::default();
    let mut lies = Vec::new();
    for word in std::env::args().skip(1) {
        match word.split_once('=') {
            Some(("says", count)) => manners.says = count.parse()?,
            Some(("close", number)) => lies.push(Lie::CloseSaying(number.parse()?, "")),
            _ if word == "alone" => manners.comes = false,
            _ if word == "swapped" => manners.swaps_endpoints = true,
            _ if word == "joined" => lies.push(Lie::Joined),
            _ if word == "expired" => lies.push(Lie::Expired),
            _ if word == "revoked" => lies.push(Lie::Revoked),
            _ if word == "notices" => lies.push(Lie::Notices),
            _ if word == "vanish" => lies.push(Lie::Vanish),
            _ => anyhow::bail!("{word} is no word that it knows"),
        }
    }
    manners.lies = lies.leak();
    let liar = Liar::start(manners).await;
    println!("{}", liar.url);
    let asked = move || {
        for line in std::io::stdin().lock().lines() {
            line?;
            println!("{} codes, {} guesses", liar.codes(), liar.guesses());
        }
        anyhow::Ok(())
    };
    tokio::task::spawn_blocking(asked).await?
}
