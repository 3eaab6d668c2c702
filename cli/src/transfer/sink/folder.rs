//! Takes the files of an offer into partial files.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use peersox_core::transfer::{Choice, Entry, Offer, Prefix};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::json;

use super::Unstorable;
use super::names::Places;
use super::parts::{self, Parts};
use crate::terminal::Voice;

/// Where to receive, and how.
pub(super) struct Options<'a> {
    pub(super) output: &'a Path,
    pub(super) overwrite: bool,
    /// The name of the only thing that is offered, instead of its own.
    pub(super) name: Option<&'a str>,
}

pub(crate) struct Folder {
    pub(super) root: PathBuf,
    pub(super) parts: Parts,
    pub(super) places: Places,
    pub(super) overwrite: bool,
    pub(super) voice: Voice,
    /// Many files: they are synchronised together.
    pub(super) is_batch: bool,
    open: Option<Open>,
    /// Streams, which no later attempt can go on with.
    streams: HashSet<u32>,
    /// Files that did not come.
    pub(super) missing: Vec<u32>,
    /// Everything is in place.
    pub(super) is_stored: bool,
    /// Whether this command itself goes on with what came.
    pub(super) goes_on: bool,
}

struct Open {
    entry: u32,
    file: File,
    /// Bytes from the beginning that are in the file, holes at the end not included.
    len: u64,
    /// Bytes since room was looked for, which matters in a file of unknown length.
    unchecked: u64,
    is_stream: bool,
}

/// More files than this are synchronised together, but those that are large.
const SINGLE_FILES: usize = 16;
const LARGE_BYTES: u64 = 32 << 20;

/// Zeros of this length are not written.
const HOLE_BYTES: usize = 64 * 1024;

/// How many bytes of a stream may come between two looks at the room that is left.
const CHECK_EVERY: u64 = 16 << 20;

impl Folder {
    pub(super) fn open(
        options: &Options<'_>,
        offer: &Offer,
        voice: Voice,
    ) -> Result<(Self, HashMap<u32, Choice>), Unstorable> {
        let parts = Parts::open(options.output, offer)?;
        parts::remove_old(options.output, parts.path(), voice);
        let places = Places::choose(options, offer, &parts, voice)?;
        let streams = offer
            .files_from(0)
            .filter(|(_, entry)| entry.size.is_none())
            .map(|(number, _)| number)
            .collect();
        let folder = Self {
            root: options.output.to_owned(),
            parts,
            places,
            overwrite: options.overwrite,
            voice,
            is_batch: offer.files_from(0).nth(SINGLE_FILES).is_some(),
            open: None,
            streams,
            missing: Vec::new(),
            is_stored: false,
            goes_on: false,
        };
        let mut choices = HashMap::new();
        if !folder.parts.is_new {
            for (number, entry) in offer.files_from(0) {
                if let Some(prefix) = folder.prefix(number, entry)? {
                    choices.insert(number, Choice::Resume(prefix));
                }
            }
        }
        Ok((folder, choices))
    }

    /// What an earlier attempt left of a file.
    fn prefix(&self, number: u32, entry: &Entry) -> Result<Option<Prefix>, Unstorable> {
        // A pipe of unknown length cannot be rewound by its sender.
        let Some(size) = entry.size else {
            return Ok(None);
        };
        let mut file = match self.parts.file(number, OFlags::RDONLY) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::ACCESS | Errno::LOOP) => {
                return self.wrong(self.parts.remove(number)).map(|()| None);
            }
            Err(error) => return self.wrong(Err(error)),
        };
        let mut prefix = Prefix::default();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = self.wrong_io(file.read(&mut buffer))?;
            if read == 0 || prefix.len() + read as u64 > size {
                break;
            }
            prefix.update(&buffer[..read]);
        }
        Ok((!prefix.is_empty()).then_some(prefix))
    }

    pub(super) fn write(
        &mut self,
        entry: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Unstorable> {
        let open = self.at(entry, offset)?;
        let written = open.write(offset, bytes);
        open.unchecked += bytes.len() as u64;
        let is_due = open.is_stream && open.unchecked >= CHECK_EVERY;
        if is_due {
            open.unchecked = 0;
        }
        self.wrong_io(written)?;
        if is_due {
            parts::check_reserve(&self.root)?;
        }
        Ok(())
    }

    pub(super) fn hole(&mut self, entry: u32, offset: u64) -> Result<(), Unstorable> {
        self.at(entry, offset).map(|_| ())
    }

    /// The file at work. What is there beyond the beginning of this attempt is not part of it.
    fn at(&mut self, entry: u32, offset: u64) -> Result<&mut Open, Unstorable> {
        if self.open.as_ref().is_none_or(|open| open.entry != entry) {
            let opened = self.parts.file(entry, OFlags::WRONLY | OFlags::CREATE);
            let file = self.wrong(opened)?;
            if !self.parts.is_new {
                self.wrong_io(file.set_len(offset))?;
            }
            let is_stream = self.streams.contains(&entry);
            if is_stream {
                parts::check_reserve(&self.root)?;
            }
            self.open = Some(Open {
                entry,
                file,
                len: offset,
                unchecked: 0,
                is_stream,
            });
        }
        let gone = || Unstorable::new("", "no file is open");
        self.open.as_mut().ok_or_else(gone)
    }

    pub(super) fn finish(&mut self, entry: u32, size: u64) -> Result<(), Unstorable> {
        let is_alone = !self.is_batch || size >= LARGE_BYTES;
        let open = self.open.take().filter(|open| open.entry == entry);
        let file = match open {
            Some(open) => {
                if open.len < size {
                    self.wrong_io(open.file.set_len(size))?;
                }
                open.file
            }
            // It is empty.
            None if size == 0 => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
                self.wrong(self.parts.file(entry, flags))?
            }
            // All of it was there before.
            None => self.wrong(self.parts.file(entry, OFlags::RDONLY))?,
        };
        if is_alone {
            self.wrong_io(file.sync_all())?;
        }
        Ok(())
    }

    pub(super) fn drop_file(&mut self, entry: u32) -> Result<(), Unstorable> {
        self.open = None;
        self.missing.push(entry);
        self.wrong(self.parts.remove(entry))
    }

    fn wrong<T>(&self, result: Result<T, Errno>) -> Result<T, Unstorable> {
        self.wrong_io(result.map_err(io::Error::from))
    }

    fn wrong_io<T>(&self, result: io::Result<T>) -> Result<T, Unstorable> {
        result.map_err(|error| Unstorable {
            is_room: error.kind() == io::ErrorKind::StorageFull,
            ..Unstorable::new(&self.root, error)
        })
    }
}

impl Open {
    /// Writes bytes, but not blocks of zeros: the end of a file is moved when it is complete.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            let is_zero = |block: &[u8]| block.len() == HOLE_BYTES && is_all_zero(block);
            let blocks = || bytes[at..].chunks(HOLE_BYTES);
            let data = blocks().take_while(|block| !is_zero(block));
            let len = data.map(<[u8]>::len).sum::<usize>();
            if len > 0 {
                let begin = offset + at as u64;
                self.file.write_all_at(&bytes[at..at + len], begin)?;
                self.len = begin + len as u64;
            }
            at += len;
            let zeros = bytes[at..].chunks(HOLE_BYTES).take_while(|it| is_zero(it));
            at += zeros.map(<[u8]>::len).sum::<usize>();
        }
        Ok(())
    }
}

fn is_all_zero(bytes: &[u8]) -> bool {
    // In one comparison, which the compiler makes fast: each byte equals the one before it.
    bytes.first() == Some(&0) && bytes[1..] == bytes[..bytes.len() - 1]
}

impl Drop for Folder {
    /// Leaves what a later attempt can go on with, and nothing else; says so.
    fn drop(&mut self) {
        for entry in &self.streams {
            let _ = self.parts.remove(*entry);
        }
        // Fails while there are partial files in it.
        let removed = std::fs::remove_dir(self.parts.path());
        if removed.is_ok() || self.is_stored || self.goes_on {
            return;
        }
        let path = self.parts.path().display();
        self.voice.say(
            &format!("what arrived is kept in {path}; send the same again, and it goes on there"),
            &json!({"event": "kept", "path": self.parts.path()}),
        );
    }
}
