//! The bytes of gRPC-Web (github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md), without a socket.
//!
//! ```text
//! body    = *frame            frame = flags:1 ‖ length:4, big-endian ‖ payload
//! message = frame with flags 0x00
//! end     = frame with flags 0x80: the trailers, as lines `name: value`; the last frame
//! ```
//!
//! A call that fails before it has a body carries its status in the headers instead.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{Code, Status};

/// The content type of requests and answers.
pub(crate) const CONTENT_TYPE: &str = "application/grpc-web+proto";

/// Wraps an encoded message in its frame.
pub(crate) fn encode(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("requests are short"));
    frame.put_slice(message);
    frame.freeze()
}

/// Judges the head of an answer whose content type has to begin with `expected`.
///
/// `Ok(true)` if a body follows, `Ok(false)` if the headers hold all of a successful call.
///
/// # Errors
/// The status in the headers; without one, [`Status::by_stranger`], which tells what came instead, as in
/// "answered with text/html".
pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    expected: &str,
) -> Result<bool, Status> {
    if let Some(status) = Status::from_headers(headers) {
        return match status.code {
            Code::Ok => Ok(false),
            _ => Err(status),
        };
    }
    let field = |name| headers.get(name).and_then(|it| it.to_str().ok());
    let kind = field(header::CONTENT_TYPE).unwrap_or("no content type");
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if status != StatusCode::OK {
        let hint = match field(header::LOCATION) {
            Some(to) if status.is_redirection() => format!(", which points to {}", printable(to)),
            _ => String::new(),
        };
        return Err(Status::by_stranger(format!("answered with {status}{hint}")));
    }
    if !kind.to_ascii_lowercase().starts_with(expected) {
        let text = format!(
            "answered with {}, as something in between does, such as the login page of a network",
            printable(kind)
        );
        return Err(Status::by_stranger(text));
    }
    Ok(true)
}

/// A stranger's text for a terminal: at most 100 characters of ASCII that can be seen.
fn printable(text: &str) -> String {
    let seen = text.chars().filter(char::is_ascii_graphic);
    seen.take(100).collect()
}

/// One frame of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An encoded message.
    Message(Bytes),
    /// The end of the call, with its status: [`Code::Ok`] for success.
    End(Status),
}

/// Takes an answer's body apart, however it was cut on the way.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes bytes of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    /// [`Code::Unavailable`] if the body is not gRPC-Web, or a frame is longer than 4 MiB. Nothing
    /// sensible follows.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, Status> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let [flags, length @ ..] = *prefix;
        if flags & !TRAILERS != 0 {
            return Err(Status::unavailable("the answer is not gRPC-Web"));
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(Status::unavailable("the answer is too long"));
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        let payload = self.buffer.split_to(length).freeze();
        if flags & TRAILERS == 0 {
            return Ok(Some(Piece::Message(payload)));
        }
        let status = Status::from_headers(&trailers(&payload));
        let missing = || Status::unavailable("the answer ends without a status");
        Ok(Some(Piece::End(status.unwrap_or_else(missing))))
    }
}

/// Reads `name: value` lines; those that are malformed are passed over.
fn trailers(block: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in block.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.insert(name, value);
        }
    }
    fields
}

/// Flags and length.
const PREFIX: usize = 5;

/// The flag of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// As long as gRPC's own default; answers of the server have some hundred bytes.
const MAX_FRAME: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(fields: &str) -> Vec<u8> {
        let mut frame = encode(fields.as_bytes()).to_vec();
        frame[0] = TRAILERS;
        frame
    }

    /// All pieces of a body that arrives in these cuts.
    fn pieces<'a>(cuts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Piece>, Status> {
        let mut decoder = Decoder::default();
        let mut pieces = Vec::new();
        for cut in cuts {
            decoder.push(cut);
            while let Some(piece) = decoder.next()? {
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }

    fn head(status: u16, fields: &[(HeaderName, &str)]) -> Result<bool, Status> {
        let fields = fields.iter().cloned();
        let headers = fields.map(|(name, value)| (name, value.parse().unwrap()));
        let status = StatusCode::from_u16(status).unwrap();
        judge(status, &headers.collect(), "application/grpc-web")
    }

    #[test]
    fn who_answers_instead_of_the_server_is_named() {
        const STATUS: HeaderName = HeaderName::from_static("grpc-status");
        let kind = |kind| (header::CONTENT_TYPE, kind);
        assert_eq!(head(200, &[kind(CONTENT_TYPE)]), Ok(true));
        assert_eq!(head(200, &[kind(CONTENT_TYPE), (STATUS, "0")]), Ok(false));
        let refused = head(200, &[kind(CONTENT_TYPE), (STATUS, "5")]).unwrap_err();
        assert_eq!(refused.code, Code::NotFound);

        let html = kind("text/html; charset=utf-8");
        for (status, fields, said) in [
            (200, vec![html.clone()], "answered with text/html,"),
            (200, vec![], "answered with no"),
            (
                200,
                vec![kind("application/grpc")],
                "answered with application/grpc,",
            ),
            (502, vec![html.clone()], "answered with 502 Bad Gateway"),
            (
                302,
                vec![html, (header::LOCATION, "http://portal/ \t")],
                "answered with 302 Found, which points to http://portal/",
            ),
        ] {
            let wrong = head(status, &fields).unwrap_err();
            assert_eq!(wrong.code, Code::Unavailable);
            assert!(wrong.message.starts_with(said), "{}", wrong.message);
        }
    }

    #[test]
    fn a_body_that_is_something_else_is_refused() {
        let page = pieces([&b"<html><h1>502 Bad Gateway</h1></html>"[..]]);
        assert_eq!(page, Err(Status::unavailable("the answer is not gRPC-Web")));
        let long = pieces([&[0, 0xff, 0, 0, 0][..]]);
        assert_eq!(long, Err(Status::unavailable("the answer is too long")));
        let bare = pieces([&end("grpc-message: so what\r\n")[..]]).unwrap();
        assert!(matches!(&bare[..], [Piece::End(status)] if status.code == Code::Unavailable));
    }

    proptest! {
        /// However the body is cut, the same pieces come out.
        #[test]
        fn a_body_can_be_cut_anywhere(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
            at in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut body: Vec<u8> = messages.iter().flat_map(|it| encode(it)).collect();
            body.extend(end("Grpc-Status: 5\r\ngrpc-message:  gone \r\nno colon\r\n"));
            let mut expected: Vec<_> =
                messages.into_iter().map(|it| Piece::Message(it.into())).collect();
            expected.push(Piece::End(Status::new(Code::NotFound, "gone")));

            let mut at: Vec<_> = at.iter().map(|it| it.index(body.len())).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let cuts = at.windows(2).map(|pair| &body[pair[0]..pair[1]]);
            prop_assert_eq!(pieces(cuts), Ok(expected));
        }

        /// A body that breaks off gives a beginning of its pieces and never the end.
        #[test]
        fn a_body_that_breaks_off_has_no_end(length in 0usize..40, cut in any::<proptest::sample::Index>()) {
            let mut body = encode(&vec![7; length]).to_vec();
            body.extend(end("grpc-status: 0\r\n"));
            let cut = cut.index(body.len());
            let pieces = pieces([&body[..cut]]).unwrap();
            prop_assert_eq!(pieces.len(), usize::from(cut >= PREFIX + length));
            prop_assert!(pieces.iter().all(|piece| matches!(piece, Piece::Message(_))));
        }

        /// Bytes of a stranger, and flipped ones, neither panic nor loop.
        #[test]
        fn any_bytes_are_survived(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            flip in any::<proptest::sample::Index>(),
            bit in 0u8..8,
        ) {
            let _ = pieces([&noise[..]]);
            let mut body = encode(b"message").to_vec();
            body.extend(end("grpc-status: 0\r\ngrpc-status-details-bin: AAAA\r\n"));
            let at = flip.index(body.len());
            body[at] ^= 1 << bit;
            let _ = pieces([&body[..]]);
        }
    }
}
