//! Sends each message back: a server for test suites of WebSocket, with nothing but the codec.
//!
//! usage: `echo ADDRESS:PORT`; it prints where it listens, port 0 is any.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use bytes::BytesMut;
use peersox_codec::websocket::{
    Buffer, Decoder, Fault, Kind, Token, put_close, put_message, put_pong, put_text,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: echo ADDRESS:PORT")?;
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    stream.set_nodelay(true)?;
    let mut rest = upgrade(&mut stream)?;
    let mut decoder = Decoder::new(MAX);
    let mut read = vec![0; 64 * 1024];
    loop {
        let mut buffer = Buffer::new(&mut rest);
        let mut out = BytesMut::new();
        let goes_on = echo(&mut decoder, &mut buffer, &mut out);
        rest = buffer.rest().to_vec();
        stream.write_all(&out)?;
        if !goes_on {
            return Ok(());
        }
        match stream.read(&mut read)? {
            0 => return Ok(()),
            len => rest.extend_from_slice(&read[..len]),
        }
    }
}

/// Answers what is whole. False once the connection is over.
fn echo(decoder: &mut Decoder, buffer: &mut Buffer<'_>, out: &mut BytesMut) -> bool {
    loop {
        match decoder.next(buffer) {
            Ok(None) => {
                out.extend_from_slice(buffer.take_run().bytes());
                return true;
            }
            // What is kept would come after what is answered at once.
            Ok(Some(Token::Message(Kind::Binary, at))) => put_message(out, buffer.payload(&at)),
            Ok(Some(Token::Message(Kind::Text, at))) => put_text(out, buffer.payload(&at)),
            Ok(Some(Token::Assembled(Kind::Binary, bytes))) => put_message(out, &bytes),
            Ok(Some(Token::Assembled(Kind::Text, bytes))) => put_text(out, &bytes),
            Ok(Some(Token::Ping(payload))) => put_pong(out, &payload),
            Ok(Some(Token::Pong)) => {}
            Ok(Some(Token::Close(number))) => {
                put_close(out, number.map(|number| (number, "")));
                return false;
            }
            Err(fault) => {
                put_close(out, Some((number(fault), &fault.to_string())));
                return false;
            }
        }
    }
}

/// As RFC 6455, section 7.4.1, has them.
fn number(fault: Fault) -> u16 {
    match fault {
        Fault::Utf8 => 1007,
        Fault::TooLarge | Fault::Pieces => 1009,
        Fault::Reserved
        | Fault::Opcode(_)
        | Fault::Unmasked
        | Fault::Control
        | Fault::OutOfOrder
        | Fault::Close => 1002,
    }
}

/// Answers the handshake; gives what came behind it.
fn upgrade(stream: &mut TcpStream) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut key = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err("no handshake".into());
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("sec-websocket-key") => {
                key = Some(derive_accept_key(value.as_bytes()));
            }
            None if line.trim_end().is_empty() => break,
            Some(_) | None => {}
        }
    }
    let key = key.ok_or("no Sec-WebSocket-Key")?;
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {key}\r\n\r\n"
    )?;
    Ok(reader.buffer().to_vec())
}

/// The largest message of the suite has 16 MiB.
const MAX: usize = 16 * 1024 * 1024;
