use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn gather(path: &Path) -> (Source, Vec<String>) {
    let mut told = Vec::new();
    let source = Source::gather(&[path.to_owned()], None, |notice| {
        told.push(match notice {
            Notice::Skipped(what) => what,
            Notice::Renamed { from, to } => format!("{from} -> {to}"),
        });
    });
    (source.unwrap(), told)
}

fn bytes(source: &mut Source, entry: u32, offset: u64, max: usize) -> Bytes {
    match source.read(entry, offset, max, 0).unwrap() {
        Piece::Bytes(bytes) => bytes,
        Piece::Hole(_) => panic!("nobody takes holes"),
    }
}

#[test]
fn folders_are_walked_in_order_with_links_that_stay_inside() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("folder");
    std::fs::create_dir_all(folder.join("b")).unwrap();
    std::fs::write(folder.join("b/two"), b"2222").unwrap();
    std::fs::write(folder.join("a"), b"1").unwrap();
    std::fs::set_permissions(folder.join("a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("out")).unwrap();
    std::os::unix::fs::symlink("../../x", folder.join("b/up")).unwrap();

    let (mut source, told) = gather(&folder);
    let entries = source.offer().entries();
    let names: Vec<_> = entries.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(names, ["folder", "folder/a", "folder/b", "folder/b/two"]);
    assert_eq!(entries[1].mode, Some(0o600));
    let links = source.offer().links();
    let links: Vec<_> = links
        .iter()
        .map(|it| (it.path().as_str(), it.target()))
        .collect();
    assert_eq!(links, [("folder/link", "a")]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(source.offer().left_out().count(), 2);
    assert_eq!(&bytes(&mut source, 3, 0, 100)[..], b"2222");
    assert_eq!(&bytes(&mut source, 3, 1, 2)[..], b"22");
    assert_eq!(&bytes(&mut source, 3, 4, 10)[..], b"");

    let (again, _) = gather(&folder);
    assert_eq!(again.offer().id(), source.offer().id());
}

#[test]
fn names_that_are_no_utf8_stay_apart_and_are_told() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("l");
    let name = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    std::fs::create_dir_all(folder.join(name(b"\xfd"))).unwrap();
    std::fs::write(folder.join(name(b"\xff.txt")), b"1").unwrap();
    std::fs::write(folder.join(name(b"\xfe.txt")), b"2").unwrap();
    std::fs::write(folder.join("%FE.txt"), b"3").unwrap();
    std::fs::write(folder.join(name(b"\xfd")).join("below"), b"4").unwrap();

    let (mut source, told) = gather(&folder);
    let entries = source.offer().entries();
    let names: Vec<_> = entries
        .iter()
        .map(|it| it.path.as_str().to_owned())
        .collect();
    let expected = [
        "l",
        "l/%FE.txt",
        "l/%FD",
        "l/%FD/below",
        "l/%FE.txt (1)",
        "l/%FF.txt",
    ];
    assert_eq!(names, expected);
    assert_eq!(told.len(), 3, "{told:?}");
    for (entry, content) in [(1, "3"), (3, "4"), (4, "2"), (5, "1")] {
        assert_eq!(&bytes(&mut source, entry, 0, 9)[..], content.as_bytes());
    }
}

#[test]
fn files_whose_size_is_a_lie_are_streams() {
    let (source, _) = gather(Path::new("/proc/self/status"));
    assert!(source.is_stream(0) && !source.can_be_read_again());
    assert_eq!(source.offer().entries()[0].size, None);
    let empty = tempfile::NamedTempFile::new().unwrap();
    let (source, _) = gather(empty.path());
    assert_eq!(source.offer().entries()[0].size, Some(0));
}

#[test]
fn holes_are_found_and_not_read() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_at(b"middle", 32 << 20).unwrap();
    let (mut source, _) = gather(&path);
    let (mut at, mut holes, mut data) = (0, 0, Vec::new());
    while at < 64 << 20 {
        match source.read(0, at, 256 * 1024, 1 << 40).unwrap() {
            Piece::Hole(length) => {
                holes += length;
                at += length;
            }
            Piece::Bytes(bytes) => {
                at += bytes.len() as u64;
                data.extend_from_slice(&bytes);
            }
        }
    }
    assert!(holes > 60 << 20, "{holes}");
    assert!(data.starts_with(b"middle"));
}

#[test]
fn a_file_that_changed_is_not_sent() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, b"before").unwrap();
    let (mut source, _) = gather(&file);
    std::fs::write(&file, b"before and after").unwrap();
    let error = source.read(0, 0, 100, 0).unwrap_err();
    assert!(error.to_string().contains("it grew"), "{error}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed_at_its_end() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    for (changed, how) in [
        ("one, two, three", "it grew"),
        ("ONE, TWO", "it was changed"),
        ("one", "it became shorter"),
    ] {
        std::fs::write(&path, b"one, two").unwrap();
        let (mut source, _) = gather(&path);
        source.read(0, 0, 4, 0).unwrap();
        // Further than the grain of any file system's times.
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&path, changed).unwrap();
        let error = source.read(0, 4, 4, 0).unwrap_err();
        assert!(error.to_string().contains(how), "{changed}: {error}");
    }
}

#[test]
fn a_stream_is_another_transfer_every_time_and_has_a_name() {
    let of = |name: Option<&str>| Source::gather(&["-".into()], name, |_| {}).unwrap();
    assert_ne!(of(None).offer().id(), of(None).offer().id());
    let source = of(Some("dump.sql"));
    assert_eq!(source.offer().entries()[0].path.as_str(), "dump.sql");
}

#[test]
fn what_is_not_there_is_named() {
    let error = Source::gather(&["/no/such/file".into()], None, |_| {})
        .err()
        .unwrap();
    assert!(error.to_string().contains("/no/such/file"), "{error}");
    let error = Source::gather(&["/dev/null".into()], None, |_| {})
        .err()
        .unwrap();
    assert!(error.to_string().contains("neither a file"), "{error}");
}
