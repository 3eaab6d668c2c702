//! Requests of STUN, and answers.
//!
//! Laws: an answer goes to a request only and repeats its transaction id; it is as short as
//! `docs/security.md` promises, and no answer is answered.

use std::net::SocketAddr;

use peersox_core::stun::{answer, is_stun, mapped};

use super::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let port = u16::from_be_bytes([input.byte(), input.byte()]);
    let [a, b, is_v6] = [input.byte(), input.byte(), input.byte()];
    let from: SocketAddr = match is_v6 % 3 {
        0 => ([192, 0, a, b], port).into(),
        1 => ([0x2001, 0xdb8, a.into(), 0, 0, 0, 0, b.into()], port).into(),
        _ => ([0, 0, 0, 0, 0, 0xffff, a.into(), b.into()], port).into(),
    };
    let request = input.rest();
    let _ = mapped(request);
    let Some(answer_to_it) = answer(request, from) else {
        return;
    };
    let answered = answer_to_it.as_bytes();
    assert!(is_stun(request[0]) && request[..2] == [0, 1]);
    assert_eq!(answered[4..20], request[4..20]);
    assert_eq!(
        usize::from(u16::from_be_bytes([answered[2], answered[3]])),
        answered.len() - 20
    );
    match answered[..2] {
        [1, 1] => {
            let told = SocketAddr::new(from.ip().to_canonical(), port);
            assert_eq!(mapped(answered).map(|(_, told)| told), Some(told));
            let headers = if from.ip().to_canonical().is_ipv4() {
                28
            } else {
                48
            };
            let [sent, came] = [answered.len() + headers, request.len() + headers];
            assert!(100 * sent <= 136 * came, "{sent} for {came}");
        }
        [1, 17] => assert!(2 * answered.len() <= 3 * request.len()),
        _ => panic!("{answered:x?} is no answer"),
    }
    assert!(answer(answered, from).is_none(), "an answer is answered");
}
