//! The question of `--confirm`: whether a device that has typed the code may connect.
//!
//! Whatever was typed before the question stood there is no answer to it.

use std::future::Future;
use std::pin::Pin;

use peersox_client::Label;
use serde_json::json;

use crate::failure::Failure;
use crate::person::{self, Answer, Person};
use crate::terminal::Voice;

/// A question that is asked, or none.
#[derive(Default)]
pub(crate) struct Question {
    asking: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// Why the device is not let in.
    refusal: Option<Failure>,
    named: String,
}

impl Question {
    /// Begins to ask about a device that calls itself so.
    pub(crate) fn begin(&mut self, label: Option<&Label>, voice: Voice) {
        self.named = label.map_or("a device without a name".to_owned(), |label| {
            format!("“{label}”")
        });
        voice.say(
            &format!("{} wants to connect", self.named),
            &json!({"event": "asked", "label": label.map(Label::as_str)}),
        );
        self.asking = Some(Box::pin(async move {
            forget_what_was_typed();
            let mut person = Person::default();
            person.ask("let it in? [y/N]", Answer::No, voice).await
        }));
    }

    /// The answer, once there is one; never without a question.
    pub(crate) async fn answer(&mut self, voice: Voice) -> bool {
        let Some(asking) = &mut self.asking else {
            return std::future::pending().await;
        };
        let answer = asking.await;
        self.asking = None;
        let named = &self.named;
        self.refusal = match answer {
            Answer::Yes => None,
            Answer::No => Some(format!("{named} was not let in")),
            Answer::Nobody => {
                let why = person::why_nobody(voice);
                Some(format!("{named} was not let in: {why}"))
            }
        }
        .map(Failure::Declined);
        answer == Answer::Yes
    }

    /// Why nobody was let in.
    pub(crate) fn refusal(&mut self) -> Failure {
        let named = &self.named;
        let late = || Failure::Declined(format!("nobody answered in time; {named} was not let in"));
        self.refusal.take().unwrap_or_else(late)
    }
}

/// Somebody who typed ahead has not read the question.
fn forget_what_was_typed() {
    #[cfg(unix)]
    {
        use rustix::termios::{QueueSelector, tcflush};
        // It fails where there is no terminal, and then nobody is asked.
        let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
    }
}
