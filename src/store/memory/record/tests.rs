use super::*;
use crate::oauth::RedirectUri;
use proptest::prelude::*;

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 16]>().prop_map(Digest::from_bytes)
}

fn text(length: usize) -> impl Strategy<Value = Box<str>> {
    prop::collection::vec(any::<char>(), 0..length)
        .prop_map(|text| text.into_iter().collect::<String>().into())
}

fn challenge() -> impl Strategy<Value = Option<CodeChallenge>> {
    prop::option::of(prop_oneof![
        any::<[u8; 32]>().prop_map(CodeChallenge::S256),
        "[A-Za-z0-9._~-]{43,128}".prop_map(|plain| CodeChallenge::Plain(plain.into())),
        prop::sample::select(&Useless::ALL[..]).prop_map(CodeChallenge::Useless),
    ])
}

fn origin() -> impl Strategy<Value = Origin> {
    (digest(), prop::option::of((digest(), digest()))).prop_map(|(client, redirect)| Origin {
        client,
        redirect: redirect.map(|(exact, target)| RedirectDigest::from_parts(exact, target)),
    })
}

fn name() -> impl Strategy<Value = OriginName> {
    prop_oneof![
        (0..4096u16).prop_map(OriginName::Number),
        origin().prop_map(OriginName::Itself),
    ]
}

fn state() -> impl Strategy<Value = ClientState> {
    prop_oneof![
        Just(ClientState::Absent),
        Just(ClientState::Bare),
        text(300).prop_map(ClientState::Value),
    ]
}

fn any_type() -> impl Strategy<Value = Option<Box<str>>> {
    prop::option::of(prop_oneof![Just("code".into()), Just("".into()), text(20)])
}

proptest! {
    #[test]
    fn a_pending_authorization_survives_packing(
        (key, millis, name, network) in (digest(), 0..=LATEST, name(), any::<[u8; 4]>()),
        (challenge, origin, browser) in (challenge(), origin(), prop::option::of(digest())),
        (state, response_type, response_mode) in (state(), any_type(), any_type()),
        followed in any::<bool>(),
    ) {
        let pending = PendingAuthorization {
            challenge, client: origin.client, redirect: origin.redirect, state, response_type, response_mode,
            browser,
        };
        let deadline = Timestamp::from_millis(millis);
        let network = NetworkName::from_bytes(network);
        let mut bytes = if followed {
            let before = Head { key, deadline: Timestamp::from_millis(9), origin: name, network };
            let mut unfollowed = pack_pending(State::Unfollowed, before, &pending).unwrap();
            let mut record = Record::open(&mut unfollowed.0).unwrap();
            prop_assert_eq!(record.state(), State::Unfollowed);
            let bytes = record.follow(deadline);
            prop_assert_eq!((record.state(), record.network()), (State::Followed, network));
            prop_assert!(record.parts().unwrap().rest.0.iter().all(|byte| *byte == 0));
            bytes
        } else {
            pack_pending(State::Pending, Head { key, deadline, origin: name, network }, &pending).unwrap()
        };
        prop_assert_eq!(bytes.0.len(), packed_length(name, &pending));
        prop_assert_eq!(bytes.0.get(COUNT), Some(&0));
        let mut record = Record::open(&mut bytes.0).unwrap();
        prop_assert_eq!(record.key(), key);
        prop_assert_eq!(record.deadline(), deadline);
        prop_assert_eq!((record.origin(), record.network()), (Ok(name), network));
        prop_assert_eq!(record.state(), State::Pending);
        prop_assert_eq!(record.challenge(), Ok(pending.challenge.clone()));
        prop_assert_eq!(record.pending(origin), Ok(pending));
        record.entomb(State::Conflict);
        prop_assert_eq!((record.state(), record.origin()), (State::Conflict, Ok(name)));
    }

    #[test]
    fn a_code_survives_packing_and_its_tombstone_is_wiped(
        (key, name, challenge) in (digest(), name(), challenge()),
        code in ".{1,300}",
    ) {
        let head = Head { key, deadline: Timestamp::from_millis(9), origin: name, network: NetworkName::NONE };
        let secret = AuthorizationCode::new(&code).unwrap();
        let mut bytes = pack_code(head, challenge.as_ref(), &secret).unwrap();
        let mut record = Record::open(&mut bytes.0).unwrap();
        prop_assert_eq!(record.origin(), Ok(name));
        let (read, read_challenge) = record.code().unwrap();
        prop_assert_eq!(read.expose(), code);
        prop_assert_eq!(read_challenge, challenge);
        for state in [State::Claimed, State::Bound, State::Redeemed, State::Conflict, State::Pending] {
            record.set_state(state);
            prop_assert_eq!(record.state(), state);
        }
        record.entomb(State::Burnt);
        prop_assert_eq!((record.key(), record.state(), record.origin()), (key, State::Burnt, Ok(name)));
        let names = match name {
            OriginName::Number(_) => 0,
            OriginName::Itself(Origin { redirect, .. }) => 16 + redirect.map_or(0, |_| 32),
        };
        prop_assert!(bytes.0[HEAD + names..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_trace_survives_packing((key, name, sign_in) in (digest(), name(), digest())) {
        let head = Head { key, deadline: Timestamp::from_millis(9), origin: name, network: NetworkName::NONE };
        let mut bytes = pack_trace(head, sign_in).unwrap();
        let record = Record::open(&mut bytes.0).unwrap();
        prop_assert_eq!((record.key(), record.state(), record.origin()), (key, State::Trace, Ok(name)));
        prop_assert_eq!(record.digest(), Ok(Some(sign_in)));
    }

    #[test]
    fn garbage_is_an_error_and_does_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(mut record) = Record::open(&mut bytes) {
            let _ = (record.origin().is_ok(), record.code().is_ok(), record.digest().is_ok());
            record.entomb(State::Burnt);
        }
    }
}

#[test]
fn records_have_the_documented_sizes() {
    let key = Digest::of("key", &[]);
    let head = Head {
        key,
        deadline: Timestamp::default(),
        origin: OriginName::Number(0),
        network: NetworkName::NONE,
    };
    let challenge = Some(CodeChallenge::S256([7; 32]));
    let code = AuthorizationCode::new(&"c".repeat(32)).unwrap();
    assert_eq!(
        pack_code(head, challenge.as_ref(), &code).unwrap().0.len() + 2,
        96
    );
    assert_eq!(pack_trace(head, key).unwrap().0.len() + 2, 48);
    let pending = PendingAuthorization {
        challenge,
        client: key,
        redirect: Some(RedirectUri::new("https://app.example/cb").digest()),
        state: ClientState::Value("s".repeat(64).into()),
        response_type: Some("code".into()),
        response_mode: None,
        browser: None,
    };
    assert_eq!(
        pack_pending(State::Pending, head, &pending)
            .unwrap()
            .0
            .len()
            + 2,
        128
    );
}

#[test]
fn packing_never_reallocates() {
    let client = Digest::of("client_id", &[]);
    let redirect = Some(RedirectUri::new("https://app.example/cb").digest());
    let origin = OriginName::Itself(Origin { client, redirect });
    let head = Head {
        key: client,
        deadline: Timestamp::default(),
        origin,
        network: NetworkName::NONE,
    };
    let plain = CodeChallenge::Plain("p".repeat(128).into());
    let code = AuthorizationCode::new(&"c".repeat(999)).unwrap();
    let bytes = pack_code(head, Some(&plain), &code).unwrap();
    assert_eq!(bytes.0.capacity(), HEAD + 48 + 16 + 32 + 128 + 999);
    let pending = PendingAuthorization {
        challenge: Some(plain),
        client,
        redirect,
        state: ClientState::Value("s".repeat(999).into()),
        response_type: Some("code id_token".into()),
        response_mode: Some("form_post".into()),
        browser: Some(client),
    };
    let bytes = pack_pending(State::Pending, head, &pending).unwrap();
    assert_eq!(
        bytes.0.capacity(),
        HEAD + 48 + 16 + 32 + 128 + 999 + 4 + 13 + 4 + 9
    );
}
