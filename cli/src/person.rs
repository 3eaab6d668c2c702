//! A person at the terminal, who is asked and types an answer.

use std::io::IsTerminal as _;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::terminal::Voice;

/// What a person answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// There is no terminal to ask on.
    Nobody,
}

/// Whether there is somebody who could be asked.
pub(crate) fn is_there(voice: Voice) -> bool {
    voice.has_terminal() && std::io::stdin().is_terminal()
}

/// Why nobody can be asked.
pub(crate) fn why_nobody(voice: Voice) -> &'static str {
    match voice.is_json() {
        true => "with --json nobody is asked",
        false => "there is no terminal to ask on",
    }
}

/// Reads what a person types. A line that nobody waits for any more is for the next question.
#[derive(Default)]
pub(crate) struct Person {
    reading: Option<JoinHandle<std::io::Result<(usize, String)>>>,
}

impl Person {
    /// Asks until the answer is yes or no. The end of the input is no. `enter` is what Enter alone means.
    pub(crate) async fn ask(&mut self, question: &str, enter: Answer, voice: Voice) -> Answer {
        if !is_there(voice) {
            return Answer::Nobody;
        }
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
}
