//! What a system's share sheet posts to the page where no service worker takes it.
//!
//! In a browser that has the page's service worker nothing of it leaves the device. From another one it
//! comes here, and is answered with the page, which says so. What was shared is dropped as it comes:
//! nothing looks at it, keeps it or logs it.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderName, Method, StatusCode, Version, header};

/// Where the manifest has it posted to.
pub(super) const PATH: &str = "/share";

/// How many bytes are dropped before the answer. A browser that still sends over HTTP/1.1 sees no answer.
const MOST: usize = 64 << 20;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends the browser to the page.
pub(super) async fn answer(request: Request) -> (StatusCode, [(HeaderName, &'static str); 1]) {
    let (head, body) = request.into_parts();
    // Relative: a proxy may serve the page below a path.
    let place = if head.method == Method::POST {
        "./?shared=none"
    } else {
        "./"
    };
    if head.version < Version::HTTP_2 {
        let _ = tokio::time::timeout(PATIENCE, drop_all(body)).await;
    }
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)])
}

async fn drop_all(mut body: Body) {
    let mut left = MOST;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let size = frame.data_ref().map_or(0, |it| it.len());
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
