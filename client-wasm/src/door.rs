//! The one way in. A call names a machine and what to do, in numbers and bytes, and is answered in numbers
//! and bytes; `js/build/ops.mjs` gives that names and types.
//!
//! ```text
//!   room(length) ─► where the bytes of the next call go, if it has any
//!   call(machine, op, now, a, b, c) ─► where the reply is
//! ```
//!
//! For everything that is exported wasm-bindgen makes a wrapper here and glue over there, and for objects
//! that cross it keeps tables: an export for each method is 6 % more to download. Nothing in here calls
//! JavaScript but for random bytes, so that no machine is in use twice.

use std::cell::{Cell, RefCell};
use std::mem;

use bytes::Bytes;
use wasm_bindgen::prelude::*;

use crate::call::{Call, Reply, small};
use crate::code;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::op;
use crate::platform::moment;

thread_local! {
    static DOOR: Door = const { Door::new() };
}

/// Makes room for the bytes of the next call; gives its address.
#[wasm_bindgen]
#[must_use]
pub fn room(length: usize) -> usize {
    DOOR.with(|door| door.room(length))
}

/// Does one of `engine.ops`, at `now` milliseconds; gives the address of the reply.
#[wasm_bindgen]
#[must_use]
pub fn call(machine: u32, op: u8, now: f64, a: f64, b: f64, c: f64) -> usize {
    let now = moment(now);
    DOOR.with(|door| {
        let call = Call {
            op,
            now,
            a,
            b,
            c,
            bytes: door.given.take(),
        };
        door.answer(machine as usize, call)
    })
}

struct Door {
    /// By number. No number is used twice, so that a stale one names nothing; a machine at work is not here.
    machines: RefCell<Vec<Option<Box<Machine>>>>,
    /// The bytes of the next call.
    given: Cell<Vec<u8>>,
    /// Those of the latest reply, until the next call.
    lent: Cell<Bytes>,
    /// The latest reply as `js/src/net/door.ts` reads it: number, a, b, c, where its bytes are, how many.
    reply: Cell<[f64; 6]>,
}

impl Door {
    const fn new() -> Self {
        Self {
            machines: RefCell::new(Vec::new()),
            given: Cell::new(Vec::new()),
            lent: Cell::new(Bytes::new()),
            reply: Cell::new([0.0; 6]),
        }
    }

    fn room(&self, length: usize) -> usize {
        let bytes = vec![0; length];
        let at = bytes.as_ptr() as usize;
        self.given.set(bytes);
        at
    }

    fn answer(&self, machine: usize, call: Call) -> usize {
        drop(self.lent.take());
        let reply = self.obey(machine, call).unwrap_or_else(Reply::from);
        // Neither is above 2^32.
        let at = reply.bytes.as_ptr() as usize as f64;
        let length = reply.bytes.len() as f64;
        let Reply {
            number, a, b, c, ..
        } = reply;
        self.reply.set([number, a, b, c, at, length]);
        self.lent.set(reply.bytes);
        self.reply.as_ptr() as usize
    }

    fn obey(&self, number: usize, call: Call) -> Result<Reply, Failure> {
        match call.op {
            op::MAKE_CODE => code::make(&call.bytes, small(call.a)),
            op::PARSE_CODE => code::tidy(&call.bytes),
            op::WITH_CODE | op::WITH_SECRET => {
                let machine = Box::new(Machine::new(&call)?);
                let mut machines = self.machines.borrow_mut();
                machines.push(Some(machine));
                Ok(Reply::number(machines.len() as f64 - 1.0))
            }
            op::FREE => {
                self.swap(number, None);
                Ok(Reply::default())
            }
            _ => {
                let Some(mut machine) = self.swap(number, None) else {
                    return Err(Failure::protocol("this machine is gone, or at work"));
                };
                let done = machine.obey(call);
                self.swap(number, Some(machine));
                done
            }
        }
    }

    /// What was in the place of this number, for what is there now.
    fn swap(&self, number: usize, machine: Option<Box<Machine>>) -> Option<Box<Machine>> {
        mem::replace(self.machines.borrow_mut().get_mut(number)?, machine)
    }
}
