//! `prober ADDRESS:PORT`: sends datagrams, and tells what it gets, for tests of networks.
//!
//! Prints its port once it has it, for UDP and TCP. It obeys each line on standard input, and ends with its
//! input.
//!
//! ```text
//! send ADDRESS:PORT WORD    sends a datagram; prints `sent`, or `unsent` if the system knows no way
//! dial ADDRESS:PORT         makes a connection of TCP; prints `dialled`, or `undialled`
//! ```
//!
//! Each datagram that comes is a line `got WORD ADDRESS:PORT`, in the order in which they come.

use std::io::BufRead as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

fn main() -> anyhow::Result<()> {
    let at: SocketAddr = std::env::args().nth(1).unwrap_or_default().parse()?;
    let socket = UdpSocket::bind(at)?;
    let at = socket.local_addr()?;
    // Connections are never accepted: the system answers those who dial.
    let _listener = TcpListener::bind(at)?;
    println!("{}", at.port());

    let receiver = socket.try_clone()?;
    std::thread::spawn(move || {
        let mut word = [0; 100];
        while let Ok((len, from)) = receiver.recv_from(&mut word) {
            println!("got {} {from}", String::from_utf8_lossy(&word[..len]));
        }
    });
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["send", to, word] => match socket.send_to(word.as_bytes(), to) {
                Ok(_) => println!("sent"),
                Err(_) => println!("unsent"),
            },
            ["dial", to] => match TcpStream::connect(to) {
                Ok(_) => println!("dialled"),
                Err(_) => println!("undialled"),
            },
            _ => anyhow::bail!("{line:?} is no line that it knows"),
        }
    }
    Ok(())
}
