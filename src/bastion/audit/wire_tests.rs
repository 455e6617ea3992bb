//! The greeting, whole, in pieces, damaged and endless.

use proptest::prelude::*;

use super::*;

/// A KEXINIT packet with these lists; each of the ten.
fn packet(lists: [&str; 10]) -> Vec<u8> {
    let mut payload = vec![MSG_KEXINIT];
    payload.extend([7; 16]);
    for list in lists {
        payload.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
        payload.extend(list.as_bytes());
    }
    payload.extend([0; 5]);
    framed(&payload)
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut packet = u32::try_from(payload.len() + 5).unwrap().to_be_bytes().to_vec();
    packet.push(4);
    packet.extend(payload);
    packet.extend([0; 4]);
    packet
}

const LISTS: [&str; 10] = [
    "curve25519-sha256,ext-info-s,kex-strict-s-v00@openssh.com",
    "ssh-ed25519",
    "a,b",
    "b",
    "c",
    "d",
    "none",
    "none",
    "",
    "",
];

fn whole() -> Vec<u8> {
    let mut bytes = b"be welcome\r\nplain\nSSH-2.0-x y\r\n".to_vec();
    bytes.extend(framed(&[MSG_IGNORE, 0, 0, 0, 0]));
    bytes.extend(packet(LISTS));
    bytes
}

#[test]
fn lines_identification_and_lists_are_read() {
    let greeting = Greeting::read(&whole());
    assert_eq!(greeting.lines, ["be welcome", "plain"]);
    assert_eq!(greeting.identification.as_deref(), Some("SSH-2.0-x y"));
    let lists = greeting.kexinit.unwrap();
    assert_eq!(lists.exchanges().collect::<Vec<_>>(), ["curve25519-sha256"]);
    assert!(lists.is_strict());
    assert_eq!(
        (lists.cipher_to, lists.mac_from),
        (vec!["a".to_owned(), "b".to_owned()], vec!["d".to_owned()])
    );
    assert_eq!((greeting.fault, greeting.disconnect), (None, None));
}

#[test]
fn what_is_no_greeting_is_a_fault() {
    let ident = b"SSH-2.0-x\r\n".to_vec();
    let after = |packet: &[u8]| Greeting::read(&[&ident, packet].concat());
    for (said, bytes) in [
        (Fault::Line, vec![b'a'; 300]),
        (Fault::Line, [b"SSH-2.0-".to_vec(), vec![b'a'; 300]].concat()),
        (Fault::Lines, b"a\n".repeat(MOST_LINES + 1)),
        (Fault::Protocol, b"SSH-1.5-old\r\n".to_vec()),
        (Fault::Length(u32::MAX), [ident.clone(), vec![0xff; 64]].concat()),
        (Fault::Length(0), [ident.clone(), vec![0; 4]].concat()),
        (Fault::Message(21), [ident.clone(), framed(&[21])].concat()),
        // An empty name; a control character; a list that ends behind the packet; something behind the lists.
        (Fault::Lists, [ident.clone(), packet(["a,,b", "", "", "", "", "", "", "", "", ""])].concat()),
        (Fault::Lists, [ident.clone(), packet(["\u{1b}[2J", "", "", "", "", "", "", "", "", ""])].concat()),
        (Fault::Lists, [ident.clone(), framed(&[vec![MSG_KEXINIT], vec![0xff; 40]].concat())].concat()),
        (Fault::Lists, [ident.clone(), framed(&[vec![MSG_KEXINIT], vec![0; 16 + 40 + 6]].concat())].concat()),
    ] {
        assert_eq!(Greeting::read(&bytes).fault, Some(said), "{:?}", String::from_utf8_lossy(&bytes));
    }
    let mut words = vec![MSG_DISCONNECT, 0, 0, 0, 2, 0, 0, 0, 4];
    words.extend(b"gone");
    assert_eq!(after(&framed(&words)).disconnect.as_deref(), Some("gone"));
    // More padding than packet.
    assert_eq!(after(&[0, 0, 0, 2, 9, 20]).fault, Some(Fault::Length(2)));
    // Only what says nothing.
    assert!(after(&framed(&[MSG_IGNORE]).repeat(MOST_IDLE + 2)).fault.is_some());
}

proptest! {
    /// Nothing that a peer sends panics, and both readers agree on where the identification is.
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let greeting = Greeting::read(&bytes);
        let found = Search::default().start(&bytes);
        prop_assert_eq!(greeting.identification.is_some(), matches!(found, Ok(Some(_))));
    }

    /// The same of greetings with a few bytes changed, cut anywhere.
    #[test]
    fn no_damaged_greeting_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = whole();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = cut.index(bytes.len() + 1);
        let greeting = Greeting::read(&bytes[..cut]);
        let mut search = Search::default();
        let _ = search.start(&bytes[..cut / 2]);
        let found = search.start(&bytes[..cut]);
        prop_assert_eq!(greeting.identification.is_some(), matches!(found, Ok(Some(_))));
        if let Ok(Some(at)) = found {
            prop_assert!(bytes[at..].starts_with(b"SSH-"));
        }
    }

    /// What has come is not taken back by what comes after.
    #[test]
    fn more_bytes_only_add(cut in any::<proptest::sample::Index>()) {
        let bytes = whole();
        let some = Greeting::read(&bytes[..cut.index(bytes.len() + 1)]);
        let all = Greeting::read(&bytes);
        prop_assert!(some.fault.is_none());
        prop_assert!(some.identification.is_none() || some.identification == all.identification);
        prop_assert!(some.kexinit.is_none() || some.kexinit == all.kexinit);
    }
}
