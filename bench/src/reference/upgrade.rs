//! The request with which a WebSocket begins, and its answer.

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The path of a whole request, and what to answer; none if a part is missing.
pub(super) fn answer(request: &[u8]) -> Option<(Vec<u8>, String)> {
    let text = str::from_utf8(request).ok()?;
    let path = text.split(' ').nth(1)?.as_bytes().to_vec();
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, key) = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
    let accept = derive_accept_key(key.trim().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Some((path, answer))
}

/// What ends a request.
pub(super) const END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered() {
        let request = b"GET /token HTTP/1.1\r\nHost: x\r\n\
            sec-webSocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let (path, answer) = answer(request).expect("it is whole");
        assert_eq!(path, b"/token");
        // The example of RFC 6455, section 1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        for wrong in [&b""[..], b"\xff", b"GET / HTTP/1.1\r\n\r\n"] {
            assert!(super::answer(wrong).is_none());
        }
    }
}
