//! `liar [WORD…]`: the server that lies, for tests in other languages.
//!
//! Prints its URL. Then each line on standard input is answered with how many codes it made, and how many of
//! them it made a guess at. It ends with its input.
//!
//! ```text
//! says=N      it lies after N messages of its guess; without this word, it plays to the end
//! notices vanish close=NUMBER
//!             how it lies, in this order; pages watch no code, so lies of the watch do not reach them
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
