//! The question before an offer is taken: what is offered, by whom, and what of it deserves a second
//! look.

use std::io::IsTerminal as _;

use peersox_core::transfer::{Named, Offer, Summary};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::terminal::Voice;

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// There is no terminal to ask on.
    Nobody,
}

/// Shows what is offered. `from` is whoever offers it, for people; empty for this side itself.
pub(super) fn describe(offer: &Offer, from: &str, voice: Voice) {
    let summary = offer.summary();
    let event = json!({
        "event": "offer",
        "from": from,
        "files": summary.files,
        "folders": summary.folders,
        "links": summary.links,
        "bytes": summary.bytes,
        "first": summary.first.first(),
        "names": summary.first,
        "hidden": {"names": summary.hidden.names, "count": summary.hidden.count},
        "executable": {"names": summary.executable.names, "count": summary.executable.count},
        "left_out": offer.left_out().sentences(),
        "left_out_count": offer.left_out().count(),
    });
    if voice.is_json() {
        return voice.say("", &event);
    }
    for line in lines(&summary, from) {
        voice.say(&line, &Value::Null);
    }
    tell_left_out(offer, voice);
}

fn tell_left_out(offer: &Offer, voice: Voice) {
    for sentence in offer.left_out().sentences().iter().take(SHOWN) {
        voice.say(&format!("not offered: {sentence}"), &Value::Null);
    }
    let more = offer.left_out().count() as usize;
    if more > SHOWN {
        let more = more - SHOWN;
        voice.say(&format!("not offered: {more} more"), &Value::Null);
    }
}

/// How many sentences about what is left out are shown.
const SHOWN: usize = 5;

fn lines(summary: &Summary, from: &str) -> Vec<String> {
    let size = summary.bytes.map_or("of unknown size".to_owned(), |bytes| {
        indicatif::HumanBytes(bytes).to_string()
    });
    let offers = if from.is_empty() {
        String::new()
    } else {
        format!("{from} offers ")
    };
    let mut lines = Vec::new();
    match (summary.files, summary.first.as_slice()) {
        (1, [only]) => lines.push(format!("{offers}{only}, {size}")),
        (0, first) => {
            let folders = plural(summary.folders, "folder");
            lines.push(format!("{offers}{folders}, no file: {}", first.join(", ")));
        }
        (files, first) => {
            lines.push(format!("{offers}{}, {size}:", plural(files, "file")));
            lines.extend(first.iter().map(|name| format!("  {name}")));
            let more = files as usize - first.len().min(files as usize);
            if more > 0 {
                lines.push(format!("  … and {more} more"));
            }
        }
    }
    if summary.links > 0 {
        lines.push(plural(summary.links, "symbolic link"));
    }
    lines.extend(named("hidden", &summary.hidden));
    lines.extend(named("executable", &summary.executable));
    lines
}

fn named(what: &str, named: &Named) -> Option<String> {
    (named.count > 0).then(|| {
        let more = named.count as usize > named.names.len();
        let all = if more { ", …" } else { "" };
        format!("{what} ({}): {}{all}", named.count, named.names.join(", "))
    })
}

fn plural(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Fails if there is nobody who could be asked.
pub(super) fn must_reach_somebody(voice: Voice) -> Result<(), Failure> {
    if voice.has_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(nobody(voice))
}

/// Why nobody can be asked, and what to do.
pub(super) fn nobody(voice: Voice) -> Failure {
    let why = match voice.is_json() {
        true => "with --json nobody is asked",
        false => "there is no terminal to ask on",
    };
    Failure::Usage(format!(
        "nothing is received: {why}; -y accepts without a question"
    ))
}

/// Reads what a person types. A line that nobody waits for any more is for the next question.
#[derive(Default)]
pub(super) struct Person {
    reading: Option<JoinHandle<std::io::Result<(usize, String)>>>,
}

impl Person {
    /// Asks until the answer is yes or no. The end of the input is no. Enter alone is yes, unless
    /// something is hidden: then somebody has to type it.
    pub(super) async fn ask(&mut self, offer: &Offer, voice: Voice) -> Answer {
        if must_reach_somebody(voice).is_err() {
            return Answer::Nobody;
        }
        let is_hidden = offer.summary().hidden.count > 0;
        let (question, enter) = if is_hidden {
            ("accept, with what is hidden? [y/N]", Answer::No)
        } else {
            ("accept? [Y/n]", Answer::Yes)
        };
        loop {
            voice.say(question, &Value::Null);
            let Some(line) = self.line().await else {
                return Answer::No;
            };
            match understand(&line, enter) {
                Some(answer) => return answer,
                None => voice.say("please answer yes or no", &Value::Null),
            }
        }
    }

    /// The next line; none at the end of the input.
    async fn line(&mut self) -> Option<String> {
        let reading = self.reading.get_or_insert_with(|| {
            tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin()
                    .read_line(&mut line)
                    .map(|read| (read, line))
            })
        });
        let read = reading.await;
        self.reading = None;
        match read {
            Ok(Ok((1.., line))) => Some(line),
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        }
    }
}

/// What a line means; none if that is not known.
fn understand(line: &str, enter: Answer) -> Option<Answer> {
    match line.trim().to_lowercase().as_str() {
        "" => Some(enter),
        "y" | "yes" => Some(Answer::Yes),
        "n" | "no" => Some(Answer::No),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (line, expected) in [
            ("y\n", Some(Answer::Yes)),
            (" YES \n", Some(Answer::Yes)),
            ("\n", Some(Answer::No)),
            ("n\n", Some(Answer::No)),
            ("No\n", Some(Answer::No)),
            ("quit\n", None),
            ("yesterday\n", None),
            ("ja\n", None),
        ] {
            assert_eq!(understand(line, Answer::No), expected, "{line:?}");
        }
        assert_eq!(understand("\n", Answer::Yes), Some(Answer::Yes));
    }

    #[test]
    fn the_question_names_what_is_hidden_and_counts_the_rest() {
        let names = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let summary = Summary {
            first: names(&["x/a", "x/b"]),
            files: 9,
            folders: 1,
            links: 0,
            bytes: Some(2048),
            hidden: Named {
                names: names(&["x/.ssh"]),
                count: 3,
            },
            executable: Named::default(),
        };
        assert_eq!(
            lines(&summary, "laptop"),
            [
                "laptop offers 9 files, 2.00 KiB:",
                "  x/a",
                "  x/b",
                "  … and 7 more",
                "hidden (3): x/.ssh, …"
            ]
        );
    }
}
