use crate::hooks::elsewhere::{Lost, elsewhere};
use crate::hooks::tasks::{jobs_take, killed, on_hub};
use crate::hooks::{hosts, names};
use crate::{real, runtime};
use libc::{addrinfo, hostent};
use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Begins as an address in figures, and cannot be asked for: a part of a name has at most 63 characters.
const NOWHERE: &CStr = c"1.2.3.4.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

type Look =
    unsafe extern "C-unwind" fn(*const c_char, *const c_char, *const addrinfo, *mut *mut addrinfo) -> c_int;
type Found = (c_int, Vec<(c_int, c_int, c_int, Vec<u8>, Option<String>)>);

unsafe extern "C-unwind" fn real_getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    list: *mut *mut addrinfo,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { real::getaddrinfo(node, service, hints, list) }
}

/// All that is found, or the error.
fn look(call: Look, node: Option<&CStr>, service: Option<&CStr>, hints: Option<&addrinfo>) -> Found {
    let start = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    let mut list = ptr::null_mut();
    let mut all = Vec::new();
    // SAFETY: valid arguments; the list is libc's, and freed once.
    unsafe {
        let code = call(start(node), start(service), hints.map_or(ptr::null(), ptr::from_ref), &raw mut list);
        let mut next = list;
        while let Some(one) = next.as_ref() {
            let address =
                std::slice::from_raw_parts(one.ai_addr.cast::<u8>(), one.ai_addrlen as usize).to_vec();
            let name = one.ai_canonname.cast_const();
            let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_str().unwrap().to_owned());
            all.push((one.ai_family, one.ai_socktype, one.ai_protocol, address, name));
            next = one.ai_next;
        }
        if code == 0 {
            libc::freeaddrinfo(list);
        }
        (code, all)
    }
}

fn hints(flags: c_int, family: c_int) -> addrinfo {
    // SAFETY: plain data.
    let mut hints: addrinfo = unsafe { std::mem::zeroed() };
    (hints.ai_flags, hints.ai_family) = (flags, family);
    hints
}

#[test]
fn addresses_are_those_of_libc() {
    on_hub(|| {
        let nodes = [
            None,
            Some(c"localhost"),
            Some(c"127.0.0.1"),
            Some(c"127.1"),
            Some(c"::1"),
            Some(NOWHERE),
            Some(c""),
        ];
        let services = [None, Some(c"80"), Some(c"http"), Some(c"no-such-service"), Some(c"")];
        let flags = [
            0,
            libc::AI_NUMERICHOST,
            libc::AI_PASSIVE,
            libc::AI_CANONNAME,
            libc::AI_NUMERICSERV,
            0x4000_0000,
        ];
        for node in nodes {
            for service in services {
                assert_eq!(
                    look(names::getaddrinfo, node, service, None),
                    look(real_getaddrinfo, node, service, None),
                    "{node:?} {service:?}"
                );
                for flags in flags {
                    for family in [libc::AF_UNSPEC, libc::AF_INET, libc::AF_INET6, 77] {
                        let hints = Some(&hints(flags, family));
                        let expected = look(real_getaddrinfo, node, service, hints);
                        let got = look(names::getaddrinfo, node, service, hints);
                        assert_eq!(got, expected, "{node:?} {service:?} {flags} {family}");
                    }
                }
            }
        }
    });
}

#[test]
fn names_of_addresses_are_those_of_libc() {
    on_hub(|| {
        let figures = libc::NI_NUMERICHOST;
        let looks = [
            ("127.0.0.1", vec![0, figures, libc::NI_NAMEREQD, figures | libc::NI_NUMERICSERV]),
            // One without a name.
            ("192.0.2.1", vec![figures, figures | libc::NI_NUMERICSERV]),
        ];
        for (address, flags) in looks {
            // SAFETY: plain data.
            let mut of: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            of.sin_family = libc::AF_INET as u16;
            of.sin_port = 80_u16.to_be();
            of.sin_addr.s_addr = u32::from_ne_bytes(address.parse::<std::net::Ipv4Addr>().unwrap().octets());
            for flags in flags {
                for room in [0, 3, 100_000] {
                    let call = |hooked: bool| {
                        let (mut host, mut service) = (vec![0x55_u8; 100_000], vec![0x55_u8; 100_000]);
                        let (to, and) = (host.as_mut_ptr().cast(), service.as_mut_ptr().cast());
                        let size = size_of_val(&of) as libc::socklen_t;
                        // SAFETY: valid arguments, and buffers with at least so much room.
                        let code = unsafe {
                            let of = (&raw const of).cast();
                            if hooked {
                                names::getnameinfo(of, size, to, room, and, room, flags)
                            } else {
                                real::getnameinfo(of, size, to, room, and, room, flags)
                            }
                        };
                        let text =
                            |bytes: Vec<u8>| CStr::from_bytes_until_nul(&bytes).ok().map(CStr::to_owned);
                        (code, if code == 0 { (text(host), text(service)) } else { (None, None) })
                    };
                    assert_eq!(call(true), call(false), "{address} {flags} {room}");
                }
            }
        }
    });
}

/// What an entry says.
fn parts(entry: *const hostent) -> Option<(String, c_int, c_int, Vec<Vec<u8>>)> {
    // SAFETY: null, or an entry with all that belongs to it.
    unsafe {
        let entry = entry.as_ref()?;
        let mut addresses = Vec::new();
        let mut next = entry.h_addr_list;
        while !(*next).is_null() {
            addresses
                .push(std::slice::from_raw_parts((*next).cast::<u8>(), entry.h_length as usize).to_vec());
            next = next.add(1);
        }
        assert!((*entry.h_aliases).is_null() || !CStr::from_ptr(*entry.h_aliases).is_empty());
        let name = CStr::from_ptr(entry.h_name).to_str().unwrap().to_owned();
        Some((name, entry.h_addrtype, entry.h_length, addresses))
    }
}

#[test]
fn hosts_are_those_of_libc() {
    on_hub(|| {
        for name in [c"localhost", c"127.0.0.1", NOWHERE] {
            // SAFETY: a valid name.
            unsafe {
                let start = name.as_ptr();
                assert_eq!(parts(hosts::gethostbyname(start)), parts(real::gethostbyname(start)), "{name:?}");
                for family in [libc::AF_INET, libc::AF_INET6] {
                    assert_eq!(
                        parts(hosts::gethostbyname2(start, family)),
                        parts(real::gethostbyname2(start, family)),
                        "{name:?}"
                    );
                }
            }
        }
        let address: [u8; 4] = [127, 0, 0, 1];
        // SAFETY: four bytes.
        unsafe {
            let start = address.as_ptr().cast();
            let expected = parts(real::gethostbyaddr(start, 4, libc::AF_INET));
            assert_eq!(parts(hosts::gethostbyaddr(start, 4, libc::AF_INET)), expected);
            assert!(hosts::gethostbyaddr(start, 3, libc::AF_INET).is_null());
        }
    });
}

#[test]
fn hosts_in_the_callers_buffer_of_any_size_and_alignment() {
    on_hub(|| {
        // SAFETY: a valid name.
        let expected = parts(unsafe { real::gethostbyname(c"localhost".as_ptr()) });
        assert!(expected.is_some());
        let mut buffer = vec![0x55_u8; 4096];
        let mut fits = 0;
        for room in (0..200).chain([4000]) {
            for offset in [0, 1, 4] {
                // SAFETY: plain data.
                let mut entry: hostent = unsafe { std::mem::zeroed() };
                let (mut found, mut error) = (ptr::null_mut(), 0);
                let start = buffer[offset..].as_mut_ptr().cast();
                let (name, found_at) = (c"localhost".as_ptr(), &raw mut found);
                // SAFETY: there is as much room, and more.
                let code = unsafe {
                    hosts::gethostbyname_r(name, &raw mut entry, start, room, found_at, &raw mut error)
                };
                assert!(buffer[offset + room..].iter().all(|byte| *byte == 0x55), "no more is written");
                if code == 0 {
                    assert_eq!(parts(found), expected);
                    fits += 1;
                } else {
                    assert_eq!((code, found.is_null(), error), (libc::ERANGE, true, -1));
                }
                buffer.fill(0x55);
            }
        }
        assert!((3..590).contains(&fits), "{fits}");
    });
}

#[test]
fn where_there_is_no_thread_the_task_calls() {
    on_hub(|| {
        jobs_take(None);
        assert_eq!(look(names::getaddrinfo, Some(c"localhost"), None, None).0, 0);
    });
}

#[test]
fn a_killed_task_goes_at_once_and_the_answer_is_dropped() {
    on_hub(|| {
        struct Answer(Arc<AtomicBool>);
        impl Drop for Answer {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let answer = Answer(dropped.clone());
        let runtime = runtime::parkable().unwrap();
        let (lost, _) = killed(move || {
            elsewhere(runtime, "test", move || {
                std::thread::sleep(Duration::from_millis(200));
                answer
            })
            .err()
        });
        assert!(matches!(lost, Some(Lost::Interrupted)));
        assert!(!dropped.load(Ordering::Relaxed), "the job goes on");
        while !dropped.load(Ordering::Relaxed) {
            greenloom::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn an_interrupted_look_up_is_an_error_of_the_system() {
    on_hub(|| {
        jobs_take(Some(Duration::from_millis(200)));
        let call = || look(names::getaddrinfo, Some(c"localhost"), None, None).0;
        assert_eq!(killed(call), (libc::EAI_SYSTEM, libc::ECANCELED));
        // SAFETY: a valid name.
        let call = || unsafe { hosts::gethostbyname(c"localhost".as_ptr()).is_null() };
        assert_eq!(killed(call), (true, libc::ECANCELED));
        // The jobs, whose answers nobody takes any more, end in the meantime.
        greenloom::sleep(Duration::from_millis(300));
    });
}
