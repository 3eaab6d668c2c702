//! PeerSox inside another web service: its routes, its middleware and its store, on one port.
//!
//! ```text
//! cargo run -p peersox-server --example embed -- 127.0.0.1:3000
//! ```

mod store;

use std::error::Error;
use std::time::Duration;

use peersox_server::axum::http::StatusCode;
use peersox_server::axum::{Router, middleware::map_response, response::Response, routing::get};
use peersox_server::{Server, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = store::Counting::default();
    let meetings = store.meetings();
    let shop = Router::new()
        .route("/meetings", get(async move || meetings.get().to_string()))
        .fallback(async || (StatusCode::NOT_FOUND, "the shop has no such page\n"));
    let listen = std::env::args().nth(1).map(|it| it.parse()).transpose()?;
    let config = ServerConfig {
        listen,
        ..ServerConfig::default()
    };
    let server = Server::builder().config(config).store(store).routes(shop);
    let server = server.layer(map_response(signed)).bind().await?;
    println!("{}", server.url());
    tokio::signal::ctrl_c().await?;
    server.shutdown(Duration::from_secs(2)).await;
    Ok(())
}

/// Middleware around everything, PeerSox included.
async fn signed(response: Response) -> ([(&'static str, &'static str); 1], Response) {
    ([("x-served-by", "shop")], response)
}
