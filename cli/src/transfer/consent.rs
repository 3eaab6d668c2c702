//! The question before an offer is taken: what is offered, by whom, and what of it deserves a second
//! look.

use peersox_core::transfer::{Named, Offer, Summary};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::person::{self, Answer, Person};
use crate::terminal::Voice;

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

/// Asks whether the offer is taken. Enter alone is yes, unless something is hidden: then somebody has to type
/// it.
pub(super) async fn ask(person: &mut Person, offer: &Offer, voice: Voice) -> Answer {
    let is_hidden = offer.summary().hidden.count > 0;
    let (question, enter) = if is_hidden {
        ("accept, with what is hidden? [y/N]", Answer::No)
    } else {
        ("accept? [Y/n]", Answer::Yes)
    };
    person.ask(question, enter, voice).await
}

/// Fails if there is nobody who could be asked.
pub(super) fn must_reach_somebody(voice: Voice) -> Result<(), Failure> {
    match person::is_there(voice) {
        true => Ok(()),
        false => Err(nobody(voice)),
    }
}

/// Why nobody can be asked, and what to do.
pub(super) fn nobody(voice: Voice) -> Failure {
    let why = person::why_nobody(voice);
    Failure::Usage(format!(
        "nothing is received: {why}; -y accepts without a question"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

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
