//! What command processes of one protocol say to each other. Different bytes under the same number would be misread.

use bytes::Bytes;
use wallex_journal::append::{Answer, Reply, Request, Work};
use wallex_journal::personal::Sealed;

use super::requests::{self, Routes};
use crate::handing::wire::{Asked, Outcome, PROTOCOL, Told, decode, encode, hello, is_hello};

/// Salts are random, and so are the digests that contain them.
fn without_salts(request: &mut Request) -> Vec<String> {
    let items = match &mut request.work {
        Work::One(item) => std::slice::from_mut(item),
        Work::Batch { items, .. } => items,
    };
    let personal = items.iter_mut().filter_map(|item| item.personal.as_mut());
    let digest = |sealed: &mut Sealed| {
        let digest = sealed.digest().to_string();
        sealed.salt = [7; 16];
        digest
    };
    personal.map(digest).collect()
}

fn replies() -> Vec<Reply> {
    let answer = Answer {
        status: 201,
        body: Bytes::from_static(b"{}"),
        etag: Some("\"1\"".to_owned()),
        position: Some("3:1042,7:88".to_owned()),
        location: Some("/v1/wallets/1".to_owned()),
    };
    let plain = Answer {
        status: 404,
        etag: None,
        position: None,
        location: None,
        ..answer.clone()
    };
    vec![
        Reply::Answered {
            answer: answer.clone(),
            replayed: false,
        },
        Reply::Answered {
            answer,
            replayed: true,
        },
        Reply::KeyReused,
        Reply::NotFound(plain),
        Reply::Unavailable,
        Reply::OutcomeUnknown,
        Reply::Failed,
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// If this fails, increase `PROTOCOL` in `handing/wire.rs` and write a new file; nobody needs the old one. Replicas of
/// both builds then run side by side without handing anything on to each other.
#[tokio::test]
async fn frames_of_one_protocol_are_fixed() {
    let mut text = format!("# hello\n{}\n", hex(&hello(&[7; 32])));
    let routes = Routes::new();
    for (id, sent) in (1..).zip(requests::all()) {
        let mut request = routes.send(&sent).await;
        let digests = without_salts(&mut request);
        let asked = Asked {
            id,
            deadline: 1_700_000_000_000_000,
            request: &request,
        };
        let frame = encode(&asked).unwrap();
        let read: Asked<Request> = decode(&frame).unwrap();
        assert_eq!((read.id, read.deadline), (id, asked.deadline));
        assert_eq!(format!("{:?}", read.request), format!("{request:?}"));
        let mut line = hex(&frame);
        for digest in digests {
            line = line.replace(&hex(digest.as_bytes()), &hex(&[b'0'; 64]));
        }
        text.push_str(&format!("# {}\n{line}\n", sent.title));
    }
    let outcomes = replies()
        .into_iter()
        .map(Outcome::Reply)
        .chain([Outcome::Refused]);
    for (id, outcome) in (1..).zip(outcomes) {
        let told = Told { id, outcome };
        let frame = encode(&told).unwrap();
        assert_eq!(decode(&frame), Some(told.clone()));
        text.push_str(&format!("# {:?}\n{}\n", told.outcome, hex(&frame)));
    }
    insta::assert_snapshot!(format!("frames.v{PROTOCOL}"), text);
}

#[test]
fn only_the_whole_hello_is_one() {
    let token = [7; 32];
    let said = hello(&token);
    assert!(is_hello(&said, &token));
    assert!(!is_hello(&said, &[8; 32]), "another listener's");
    for place in 0..said.len() {
        let mut other = said.to_vec();
        other[place] ^= 1;
        assert!(!is_hello(&other, &token), "byte {place}");
        assert!(!is_hello(&said[..place], &token), "{place} bytes");
    }
}

#[test]
fn what_is_no_frame_is_not_read() {
    for frame in [&[][..], &[1], &[0xff; 40]] {
        assert!(decode::<Asked<Request>>(frame).is_none());
        assert!(decode::<Told>(frame).is_none());
    }
}
