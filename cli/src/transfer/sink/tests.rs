use std::fs;

use super::*;
use peersox_core::transfer::{Kind, Limits, Link, Listing, SafePath, TransferId};

fn offer(entries: &[(&[&str], Option<u64>)]) -> Offer {
    let entry = |(path, size): &(&[&str], Option<u64>)| Entry {
        path: SafePath::new(path).unwrap(),
        kind: if size.is_some() {
            Kind::File
        } else {
            Kind::Directory
        },
        size: *size,
        modified: None,
        executable: false,
        mode: None,
        data_bytes: None,
    };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    Offer::new(TransferId::of(&entries), entries, &Limits::default()).unwrap()
}

fn open(
    dir: &Path,
    offer: &Offer,
    overwrite: bool,
) -> Result<(Sink, HashMap<u32, Choice>), Unstorable> {
    let options = folder::Options {
        output: dir,
        overwrite,
        name: None,
    };
    let (folder, choices) = Folder::open(&options, offer, Voice::new(true))?;
    Ok((Sink::Folder(Box::new(folder)), choices))
}

fn take(dir: &Path, offer: &Offer, overwrite: bool, contents: &[(u32, &[u8])]) {
    let (mut sink, _) = open(dir, offer, overwrite).unwrap();
    for (entry, bytes) in contents {
        sink.write(*entry, 0, bytes).unwrap();
        sink.finish(*entry, bytes.len() as u64).unwrap();
    }
    sink.store(offer).unwrap();
}

#[test]
fn nothing_is_overwritten_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let offer = offer(&[(&["a.tar.gz"], Some(3))]);
    for bytes in [b"one", b"two"] {
        take(dir.path(), &offer, false, &[(0, bytes)]);
    }
    assert_eq!(fs::read(dir.path().join("a.tar.gz")).unwrap(), b"one");
    assert_eq!(fs::read(dir.path().join("a.tar (1).gz")).unwrap(), b"two");
    take(dir.path(), &offer, true, &[(0, b"new")]);
    assert_eq!(fs::read(dir.path().join("a.tar.gz")).unwrap(), b"new");
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "no partial files are left"
    );
}

#[test]
fn folders_are_made_and_renamed_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let offer = offer(&[(&["d"], None), (&["d", "e"], None), (&["d", "f"], Some(1))]);
    take(dir.path(), &offer, false, &[(2, b"1")]);
    take(dir.path(), &offer, false, &[(2, b"2")]);
    assert_eq!(fs::read(dir.path().join("d/f")).unwrap(), b"1");
    assert_eq!(fs::read(dir.path().join("d (1)/f")).unwrap(), b"2");
    assert!(dir.path().join("d (1)/e").is_dir());
}

#[test]
fn what_was_broken_off_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let offer = offer(&[(&["f"], Some(6))]);
    let (mut sink, choices) = open(dir.path(), &offer, false).unwrap();
    assert!(choices.is_empty());
    sink.write(0, 0, b"abc").unwrap();
    drop(sink);
    assert!(!dir.path().join("f").exists());

    let (mut sink, choices) = open(dir.path(), &offer, false).unwrap();
    assert!(matches!(&choices[&0], Choice::Resume(prefix) if prefix.len() == 3));
    sink.write(0, 3, b"def").unwrap();
    sink.finish(0, 6).unwrap();
    sink.store(&offer).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"abcdef");
}

#[test]
fn partial_files_have_one_owner_and_streams_leave_none() {
    let dir = tempfile::tempdir().unwrap();
    let offer = offer(&[(&["f"], Some(6))]);
    let (sink, _) = open(dir.path(), &offer, false).unwrap();
    let error = open(dir.path(), &offer, false).err().unwrap();
    assert!(error.to_string().contains("another peersox"), "{error}");
    drop(sink);
    let (sink, _) = open(dir.path(), &offer, false).unwrap();
    drop(sink);

    let mut stream = offer.entries().to_vec();
    stream[0].size = None;
    let stream = Offer::new(offer.id(), stream, &Limits::default()).unwrap();
    let (mut sink, _) = open(dir.path(), &stream, false).unwrap();
    sink.write(0, 0, b"abc").unwrap();
    drop(sink);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_replaced_behind_a_symbolic_link() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(elsewhere.path().join("f"), b"mine").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("d")).unwrap();
    for entries in [&[(&["d", "f"][..], Some(1))], &[(&["d", "e"][..], None)]] {
        let offer = offer(entries);
        let (mut sink, _) = open(dir.path(), &offer, true).unwrap();
        sink.write(0, 0, b"x").unwrap();
        let error = sink.store(&offer).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }
    assert_eq!(fs::read(elsewhere.path().join("f")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn a_file_may_be_named_in_place_of_a_folder() {
    use clap::Parser as _;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("folder.txt")).unwrap();
    let place = |arguments: &[&str], offered: &[(&[&str], Option<u64>)]| {
        let arguments = [&["peersox", "receive", "481920-tulip-ember"], arguments].concat();
        let command = crate::args::Cli::parse_from(arguments).command;
        let crate::args::Command::Receive(args) = command else {
            panic!("another command");
        };
        let (folder, name) = target(&args, &offer(offered));
        (folder.to_str().unwrap().to_owned(), name)
    };
    let file: &[(&[&str], Option<u64>)] = &[(&["a.txt"], Some(1))];
    let (here, named) = (dir.path().to_str().unwrap(), |it: &str| Some(it.to_owned()));
    assert_eq!(
        place(&["-o", &at("new.txt")], file),
        (here.to_owned(), named("new.txt"))
    );
    assert_eq!(
        place(&["-o", "new.txt"], file),
        (".".to_owned(), named("new.txt"))
    );
    let stream: &[(&[&str], Option<u64>)] = &[(&["stdin"], Some(1))];
    assert_eq!(
        place(&["-o", "a.sql"], stream),
        (".".to_owned(), named("a.sql"))
    );
    for folder in ["new", "new.d", "folder.txt", "new.txt/"] {
        assert_eq!(place(&["-o", &at(folder)], file), (at(folder), None));
    }
    let many: &[(&[&str], Option<u64>)] = &[(&["a.txt"], Some(1)), (&["b.txt"], Some(1))];
    assert_eq!(
        place(&["-o", "new.txt"], many),
        ("new.txt".to_owned(), None)
    );
    assert_eq!(place(&["--name", "b"], file), (".".to_owned(), named("b")));
}

fn listing(entries: Vec<Entry>, links: Vec<Link>) -> Offer {
    let id = TransferId::of(&entries);
    let listing = Listing {
        entries,
        links,
        ..Listing::default()
    };
    Offer::of(id, listing, &Limits::default()).unwrap()
}

#[test]
fn links_are_made_last_and_replace_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plain = offer(&[(&["d"], None), (&["d", "f"], Some(1))]);
    let path = |name: &str| SafePath::new(&["d", name]).unwrap();
    let link = Link::new(path("l"), "f", None).unwrap();
    let offer = listing(plain.entries().to_vec(), vec![link]);
    take(dir.path(), &offer, false, &[(1, b"x")]);
    assert_eq!(fs::read(dir.path().join("d/l")).unwrap(), b"x");

    // What took the name of the link meanwhile stays, and both sides are told.
    let (mut sink, _) = open(dir.path(), &offer, true).unwrap();
    fs::remove_file(dir.path().join("d/l")).unwrap();
    fs::create_dir(dir.path().join("d/l")).unwrap();
    sink.write(1, 0, b"y").unwrap();
    sink.finish(1, 1).unwrap();
    let report = sink.store(&offer).unwrap();
    assert_eq!(report.left_out.count(), 1);
    assert!(dir.path().join("d/l").is_dir());
}

#[test]
fn what_took_a_name_meanwhile_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let offer = offer(&[(&["d"], None), (&["d", "Makefile"], Some(1))]);
    let (mut sink, _) = open(dir.path(), &offer, false).unwrap();
    sink.write(1, 0, b"1").unwrap();
    sink.finish(1, 1).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/Makefile"), b"mine").unwrap();
    let report = sink.store(&offer).unwrap();
    let renamed = ("d/Makefile".to_owned(), "d/Makefile (1)".to_owned());
    assert_eq!(report.renamed(), [renamed]);
    assert_eq!(fs::read(dir.path().join("d/Makefile")).unwrap(), b"mine");
    assert_eq!(fs::read(dir.path().join("d/Makefile (1)")).unwrap(), b"1");
}

#[test]
fn a_disk_without_room_is_known_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("not/yet/there");
    let error = parts::check_room(&into, &offer(&[(&["f"], Some(1 << 62))])).unwrap_err();
    assert!(
        error.is_room && error.why.contains("no room for 4.00 EiB"),
        "{error}"
    );
    assert!(!into.exists());
    let mut holes = offer(&[(&["f"], Some(1 << 62))]).entries().to_vec();
    holes[0].data_bytes = Some(0);
    assert!(parts::check_room(&into, &listing(holes, vec![])).is_ok());
}

#[test]
fn zeros_are_left_out_of_the_disk_and_not_of_the_file() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mut content = vec![0; 3 << 20];
    content[1 << 20] = 1;
    let offer = offer(&[(&["f"], Some(3 << 20))]);
    let (mut sink, _) = open(dir.path(), &offer, false).unwrap();
    for (number, chunk) in (0..).zip(content.chunks(256 << 10)) {
        sink.write(0, number * (256 << 10), chunk).unwrap();
    }
    sink.finish(0, 3 << 20).unwrap();
    sink.store(&offer).unwrap();
    let path = dir.path().join("f");
    assert!(fs::metadata(&path).unwrap().blocks() * 512 <= 256 << 10);
    assert!(fs::read(path).unwrap() == content);
}

#[test]
fn partial_files_of_somebody_else_are_not_followed() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let offer = offer(&[(&["f"], Some(6))]);
    let parts = dir.path().join(format!(".peersox-part-{}", offer.id()));
    let mine = elsewhere.path().join("mine");
    fs::write(&mine, b"mine").unwrap();
    // The folder itself may be no link, and no file in it.
    std::os::unix::fs::symlink(elsewhere.path(), &parts).unwrap();
    assert!(open(dir.path(), &offer, false).is_err());
    fs::remove_file(&parts).unwrap();
    fs::create_dir(&parts).unwrap();
    std::os::unix::fs::symlink(&mine, parts.join("0")).unwrap();
    take(dir.path(), &offer, false, &[(0, b"theirs")]);
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"theirs");
}

#[test]
fn what_was_left_long_ago_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| dir.path().join(format!(".peersox-part-{name}")));
    let long_ago =
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for folder in [&old, &new] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("0"), b"part").unwrap();
        for path in [folder.join("0"), folder.clone()] {
            fs::File::open(path)
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
        }
    }
    fs::write(new.join("1"), b"part").unwrap();
    take(
        dir.path(),
        &offer(&[(&["f"], Some(1))]),
        false,
        &[(0, b"x")],
    );
    assert!(!old.exists() && new.exists());
}
