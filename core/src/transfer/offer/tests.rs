use super::*;
use proptest::prelude::*;

fn entry(path: &str, kind: Kind) -> Entry {
    let components: Vec<_> = path.split('/').collect();
    Entry {
        path: SafePath::new(&components).unwrap(),
        kind,
        size: (kind == Kind::File).then_some(1),
        modified: None,
        executable: false,
        mode: None,
        data_bytes: None,
    }
}

fn offer(paths: &[&str]) -> Result<Offer, OfferError> {
    let entries = paths.iter().map(|path| match path.strip_suffix('/') {
        Some(path) => entry(path, Kind::Directory),
        None => entry(path, Kind::File),
    });
    let id = TransferId::from_bytes([0; 16]);
    Offer::new(id, entries.collect(), &Limits::default())
}

#[test]
fn names_that_clash_are_refused() {
    let path = |path: &str| SafePath::new(&path.split('/').collect::<Vec<_>>()).unwrap();
    assert_eq!(offer(&[]), Err(OfferError::Empty));
    assert_eq!(
        offer(&["a", "b", "a"]),
        Err(OfferError::Duplicate(path("a")))
    );
    assert_eq!(
        offer(&["a:b", "a?b"]),
        Err(OfferError::Duplicate(path("a_b")))
    );
    assert_eq!(
        offer(&["a/b/c", "a"]),
        Err(OfferError::BelowFile(path("a/b/c")))
    );
    assert_eq!(
        offer(&["a/", "a/b", "a/b/c/"]),
        Err(OfferError::BelowFile(path("a/b/c")))
    );
    assert!(offer(&["a/", "a/b", "a/c/d", "b"]).is_ok());
}

proptest! {
    /// `!` sorts before the separator, `b` after it.
    #[test]
    fn names_clash_if_a_look_at_every_pair_says_so(
        paths in prop::collection::vec("[a!b]{1,2}(/[a!b]{1,2}){0,2}/?", 1..8),
    ) {
        let is_file = |path: &str| !path.ends_with('/');
        let name = |path: &str| path.trim_end_matches('/').to_owned();
        let clash = |at: usize, a: &str, other: usize, b: &str| {
            at != other && name(a) == name(b)
                || is_file(a) && name(b).starts_with(&format!("{a}/"))
        };
        let clashes = paths.iter().enumerate().any(|(at, a)| {
            let mut others = paths.iter().enumerate();
            others.any(|(other, b)| clash(at, a, other, b))
        });
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        prop_assert_eq!(offer(&paths).is_err(), clashes);
    }
}

#[test]
fn nothing_is_stored_behind_a_link() {
    let path = |path: &str| SafePath::new(&path.split('/').collect::<Vec<_>>()).unwrap();
    let link = |at: &str| Link::new(path(at), "x", None).unwrap();
    let with = |links: Vec<Link>, paths: &[&str]| {
        let entries = paths.iter().map(|path| entry(path, Kind::File)).collect();
        let listing = Listing {
            entries,
            links,
            ..Listing::default()
        };
        let id = TransferId::from_bytes([0; 16]);
        Offer::of(id, listing, &Limits::default()).map(|_| ())
    };
    assert_eq!(with(vec![link("d/l")], &["d/a"]), Ok(()));
    let below = Err(OfferError::BelowFile(path("d/l/a")));
    assert_eq!(with(vec![link("d/l")], &["d/l/a"]), below);
    let twice = Err(OfferError::Duplicate(path("d/l")));
    assert_eq!(with(vec![link("d/l")], &["d/l"]), twice);
    assert_eq!(with(vec![link("d/l"), link("d/l")], &["a"]), twice);
}

#[test]
fn each_part_of_an_offer_changes_its_digest() {
    let id = TransferId::from_bytes([0; 16]);
    let of = |id: TransferId, change: &dyn Fn(&mut Entry)| {
        let mut entries = vec![entry("d/a", Kind::File)];
        change(&mut entries[0]);
        Offer::new(id, entries, &Limits::default())
            .unwrap()
            .digest()
    };
    let first = of(id, &|_| {});
    assert_eq!(of(id, &|_| {}), first);
    let changes: [&dyn Fn(&mut Entry); 6] = [
        &|it| it.path = SafePath::new(&["d", ".bash_profile"]).unwrap(),
        &|it| it.size = Some(1 << 40),
        &|it| it.modified = Some(Timestamp::from_millis(0)),
        &|it| it.executable = true,
        &|it| it.mode = Some(0),
        &|it| it.data_bytes = Some(0),
    ];
    for change in changes {
        assert_ne!(of(id, change), first);
    }
    assert_ne!(of(TransferId::from_bytes([1; 16]), &|_| {}), first);

    let linked = |at: &str, target: &str, modified: Option<u64>| {
        let at = SafePath::new(&["d", at]).unwrap();
        let link = Link::new(at, target, modified.map(Timestamp::from_millis)).unwrap();
        let listing = Listing {
            entries: vec![entry("d/a", Kind::File)],
            links: vec![link],
            ..Listing::default()
        };
        Offer::of(id, listing, &Limits::default()).unwrap().digest()
    };
    let one = linked("l", "x", None);
    assert_ne!(one, first);
    for other in [("m", "x", None), ("l", "y", None), ("l", "x", Some(0))] {
        assert_ne!(linked(other.0, other.1, other.2), one, "{other:?}");
    }
}

#[test]
fn limits_hold() {
    let tight = Limits {
        entries: 2,
        path_bytes: 4,
        total_bytes: 2,
    };
    let check = |entries: Vec<Entry>| Offer::new(TransferId::of(&entries), entries, &tight);
    let file = |path, size| Entry {
        size: Some(size),
        ..entry(path, Kind::File)
    };
    assert!(check(vec![file("ab", 1), file("cd", 1)]).is_ok());
    assert_eq!(
        check(vec![file("a", 0), file("b", 0), file("c", 0)]),
        Err(OfferError::TooMany(2))
    );
    assert_eq!(
        check(vec![file("abcde", 1)]),
        Err(OfferError::PathsTooLong(4))
    );
    for sizes in [[1, 2], [1, u64::MAX]] {
        let [a, b] = sizes;
        assert_eq!(
            check(vec![file("a", a), file("b", b)]),
            Err(OfferError::TooLarge(2))
        );
    }
    let directory = Entry {
        size: Some(0),
        ..entry("d", Kind::Directory)
    };
    assert!(matches!(
        check(vec![directory]),
        Err(OfferError::SizedDirectory(_))
    ));
}

#[test]
fn entries_survive_the_wire() {
    let entry = Entry {
        modified: Some(Timestamp::from_millis(7)),
        executable: true,
        mode: Some(0o640),
        data_bytes: Some(0),
        ..entry("a/b", Kind::File)
    };
    let mut sent = v1::TransferEntry::from(&entry);
    assert_eq!(Entry::parse(&sent, Names::Unix), Ok(entry.clone()));
    sent.mode = Some(0o104_640);
    let parsed = Entry::parse(&sent, Names::Unix);
    assert_eq!(parsed, Ok(entry), "setuid does not travel");
}
