//! Codes whose joiner has to be let in.

use super::*;

const CONFIRM_TTL: Duration = Duration::from_secs(120);

pub(super) async fn who_asks_is_kept_until_the_answer_and_all_are_told(store: &impl Store) {
    for lets_in in [true, false] {
        let (pairing, created) = create_on(START, 20, true);
        let id = pairing.id();
        let commit = put(None, pairing, None);
        store.commit(commit, START).await.unwrap();
        let mut told = Told::watch(store, id).await;
        let join = Join {
            nameplate: created.nameplate.clone(),
            ephemeral: true,
            label: "laptop".parse().ok(),
        };
        run(store, &join, id).await;
        let found = store.find(&created.nameplate, START).await.unwrap();
        assert_eq!(found, None, "the code is spent");
        let asked = store.load(id, START).await.unwrap().unwrap().pairing;
        assert!(asked.is_joined() && asked.is_unconfirmed());
        assert_eq!(asked.label().unwrap().as_str(), "laptop");
        let late = START + CONFIRM_TTL;
        assert_eq!(store.load(id, late).await.unwrap(), None);

        let credential = created.credential;
        if lets_in {
            run(store, &LetIn { credential }, id).await;
            let joined = store.load(id, late).await.unwrap().unwrap().pairing;
            assert!(joined.is_joined() && !joined.is_unconfirmed());
            assert_eq!(joined.label().unwrap().as_str(), "laptop");
        } else {
            run(store, &Refuse { credential }, id).await;
            assert_eq!(store.load(id, START).await.unwrap(), None);
        }
        let last = match lets_in {
            true => Event::Confirmed,
            false => Event::Revoked,
        };
        told.expect(2, Event::Asked).await;
        told.expect(3, last).await;
    }
}
