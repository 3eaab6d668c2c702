//! Two people talk, each in a page: the same `Server`, `Peer` and `Channel` as in a native program.
//!
//! ```text
//! scripts/web-rust target/web/rust peersox-client/web-chat    # its page: tests/web/pages/chat.html
//! ```
//!
//! The page shows a code or takes one. `?server=https://p.example` names a server that permits the page's
//! origin, and `&direct=off` stays on its relay. `peersox connect` joins in if it shows the code.
#![cfg(target_arch = "wasm32")]

use js_sys::futures::spawn_local;
use peersox_client::{
    Channel, Code, DirectMode, Error, Event, Message, Options, OsRng, PathKind, Peer, Priority,
    Proof, Server, Trust, Words,
};
use tokio::sync::mpsc;
use wasm_bindgen::prelude::*;
use web_sys::{Document, Element, HtmlInputElement, UrlSearchParams};

/// Waits for a person to ask for a code or to type one.
#[wasm_bindgen(start)]
pub fn start() {
    listen("show", "click", || spawn_local(tell_end(chat(None))));
    listen("take", "submit", || {
        spawn_local(tell_end(chat(Some(take_text("code")))))
    });
    say("state", "ready");
}

async fn tell_end(chat: impl Future<Output = Result<(), Error>>) {
    let end = chat.await.err().map(|error| format!("error: {error}"));
    say("state", &end.unwrap_or_else(|| "over".to_owned()));
}

async fn chat(typed: Option<String>) -> Result<(), Error> {
    let url = parameter("server").unwrap_or_default();
    let server = Server::connect(&url, Trust::default()).await?;
    let (pairing, code) = match typed {
        Some(typed) => {
            let code: Code = typed.parse().map_err(|_| Error::CodeMalformed(typed))?;
            (server.join_pairing(&code.nameplate).await?, code)
        }
        None => {
            let created = server.create_pairing().await?;
            let (nameplate, words) = (created.nameplate, Words::random(2, &mut OsRng));
            (created.pairing, Code { nameplate, words })
        }
    };
    say("shown", &code.to_string());
    let mut options = Options::default();
    if parameter("direct").as_deref() == Some("off") {
        options.direct = DirectMode::Off;
    }
    let peer = Peer::attach(server, pairing, Proof::Code(code), options).await?;
    talk(peer).await
}

/// Carries lines both ways until either side is done.
async fn talk(mut peer: Peer) -> Result<(), Error> {
    let mut events = peer.events();
    spawn_local(async move {
        while let Ok(event) = events.recv().await {
            if let Event::Path(kind) = event {
                append("paths", kind.map_or("none", PathKind::as_str));
            }
        }
    });
    peer.connected().await?;
    let (typed, mut lines) = mpsc::unbounded_channel();
    listen("say", "submit", move || {
        let _ = typed.send(take_text("line"));
    });
    say("state", "connected");
    let (mut mine, mut theirs) = (None, None);
    loop {
        tokio::select! {
            channel = peer.accept() => match channel {
                Some(channel) => theirs = Some(channel),
                None => return peer.ended().await,
            },
            Some(mut line) = lines.recv() => {
                // What was opened first is kept, so that lines keep their order.
                let channel = match mine.as_ref().or(theirs.as_ref()) {
                    Some(channel) => channel,
                    None => mine.insert(peer.open(MESSAGES, Priority::Interactive).await?),
                };
                // A pipe knows no messages: lines end.
                if channel.name() == "peersox.pipe" {
                    line.push('\n');
                }
                channel.send(Message::Text(line)).await?;
            }
            message = hear(&mut mine) => append("heard", &message?),
            message = hear(&mut theirs) => append("heard", &message?),
        }
    }
}

/// The next line of a channel. Cancelling it loses nothing.
async fn hear(channel: &mut Option<Channel>) -> Result<String, Error> {
    while let Some(open) = channel {
        match open.recv().await? {
            Some(Message::Text(line)) => return Ok(line),
            Some(Message::Binary(bytes)) => return Ok(String::from_utf8_lossy(&bytes).into()),
            None => *channel = None,
        }
    }
    std::future::pending().await
}

/// Where the browser client sends messages.
const MESSAGES: &str = "peersox.message";

fn document() -> Document {
    let window = web_sys::window().expect("a page has a window");
    window.document().expect("a window has a document")
}

fn element(id: &str) -> Element {
    document().get_element_by_id(id).expect("the page has it")
}

fn parameter(name: &str) -> Option<String> {
    let query = document().location()?.search().ok()?;
    UrlSearchParams::new_with_str(&query).ok()?.get(name)
}

fn listen(id: &str, event: &str, act: impl FnMut() + 'static) {
    let act = Closure::<dyn FnMut()>::new(act).into_js_value();
    let _ = element(id).add_event_listener_with_callback(event, act.unchecked_ref());
}

/// What a person typed, and empties the field.
fn take_text(id: &str) -> String {
    let field: HtmlInputElement = element(id).unchecked_into();
    let text = field.value();
    field.set_value("");
    text
}

fn say(id: &str, text: &str) {
    element(id).set_text_content(Some(text));
}

fn append(id: &str, text: &str) {
    let line = document().create_element("li").expect("li is a name");
    line.set_text_content(Some(text));
    let _ = element(id).append_child(&line);
}
