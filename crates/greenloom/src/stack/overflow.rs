//! Stack overflow: the last words of a process.
//!
//! A coroutine that runs off its stack touches its guard, and the kernel sends SIGSEGV (or SIGBUS). The
//! handler here runs on the thread's alternate stack, looks up the address among the slabs, says
//! which greenlet it was and how large its stack is, and aborts. Any other fault goes to the handler that was
//! there before: Rust's own, which reports the overflow of a thread's stack, or that of an embedder.
//!
//! Who runs on a stack is known above, so the name comes through a [`Namer`].

use super::{Bytes, StackSize, guard};
use std::cell::Cell;
use std::ffi::c_int;
use std::io;
use std::mem::{MaybeUninit, transmute};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Describes the greenlet on whose stack an address lies, such as `greenlet "parser" (#12)`: writes it to the
/// buffer and returns its length, 0 if it does not know. Runs inside a signal handler: must neither allocate nor
/// lock.
pub type Namer = fn(address: usize, out: &mut [u8]) -> usize;

static NAMER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// What the message advises, as an embedder put it.
static ADVICE: OnceLock<&str> = OnceLock::new();

/// Says how users of an embedding language give a greenlet a larger stack; the first one stays.
pub fn set_advice(advice: &'static str) {
    ADVICE.get_or_init(|| advice);
}

/// The handlers that were there before, for SIGSEGV and SIGBUS.
static PREVIOUS: OnceLock<io::Result<[libc::sigaction; 2]>> = OnceLock::new();
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Says who describes greenlets; the last one wins.
pub fn set_namer(namer: Namer) {
    NAMER.store(namer as *mut (), Ordering::Release);
}

/// Installs the handler, once per process, and gives the calling thread an alternate stack if it has none.
///
/// # Errors
///
/// What the system calls answer. The handler is not installed then, and an overflow is a plain SIGSEGV.
pub fn install() -> io::Result<()> {
    if cfg!(miri) {
        return Ok(());
    }
    match PREVIOUS.get_or_init(install_handlers) {
        Ok(_) => prepare_thread(),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

fn install_handlers() -> io::Result<[libc::sigaction; 2]> {
    let mut previous = [const { MaybeUninit::<libc::sigaction>::uninit() }; 2];
    for (signal, previous) in SIGNALS.into_iter().zip(&mut previous) {
        // SAFETY: an all-zero sigaction is a valid one; the handler keeps to what is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(signal, &action, previous.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    // SAFETY: both calls filled theirs.
    Ok(previous.map(|previous| unsafe { previous.assume_init() }))
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo, and for these signals it holds an address, unless some process
    // sent them (`si_code` <= 0).
    let (address, sent) = unsafe { ((*info).si_addr() as usize, (*info).si_code <= 0) };
    if !sent && let Some((base, size)) = guard::find(address) {
        report(base, size);
    }
    chain(signal, info, context, sent);
}

/// Leaves a fault that is not ours to the previous handler.
fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, sent: bool) {
    let previous = match PREVIOUS.get() {
        Some(Ok(previous)) => &previous[usize::from(signal == libc::SIGBUS)],
        // Between `sigaction` and its result being stored: fault again until it is.
        _ => return,
    };
    match previous.sa_sigaction {
        // Take the default action, by faulting again, or by a signal which stays pending until we return.
        libc::SIG_DFL | libc::SIG_IGN if !sent || previous.sa_sigaction == libc::SIG_DFL => {
            // SAFETY: restores what was there; both calls are async-signal-safe.
            unsafe {
                libc::sigaction(signal, previous, ptr::null_mut());
                if sent {
                    libc::raise(signal);
                }
            }
        }
        libc::SIG_IGN => {}
        action if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: a handler installed with SA_SIGINFO has this type.
            let action: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { transmute(action) };
            action(signal, info, context);
        }
        action => {
            // SAFETY: a handler installed without SA_SIGINFO has this type.
            let action: extern "C" fn(c_int) = unsafe { transmute(action) };
            action(signal);
        }
    }
}

/// Says which greenlet overflowed its stack, and aborts. Async-signal-safe.
#[cold]
pub(super) fn report(base: usize, size: StackSize) -> ! {
    let mut message = Message::new();
    message.text(b"\ngreenloom: ");
    let mut name = [0; 200];
    let namer = NAMER.load(Ordering::Acquire);
    let len = if namer.is_null() {
        0
    } else {
        // SAFETY: only `set_namer` stores here, and stores a `Namer`.
        let namer: Namer = unsafe { transmute(namer) };
        namer(base, &mut name)
    };
    message.text(match name.get(..len) {
        Some(name) if len > 0 => name,
        _ => b"a greenlet",
    });
    message.text(b" overflowed its stack of ");
    message.size(size.bytes());
    message.text(b"; give it more: ");
    message.text(ADVICE.get().unwrap_or(&"Builder::stack_size or GREENLOOM_STACK_SIZE").as_bytes());
    message.text(b"\n");
    message.write_and_abort()
}

/// A buffer that formats without allocating.
struct Message {
    bytes: [u8; 400],
    len: usize,
}

impl Message {
    fn new() -> Message {
        Message { bytes: [0; 400], len: 0 }
    }

    fn text(&mut self, text: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text[..len]);
        self.len += len;
    }

    fn size(&mut self, bytes: usize) {
        // `Bytes` formats integers and literals: no allocation, no lock.
        let _ = std::fmt::Write::write_fmt(self, format_args!("{}", Bytes(bytes)));
    }

    fn write_and_abort(&self) -> ! {
        // SAFETY: writes bytes that exist; both calls are async-signal-safe. A failed write has nobody to tell.
        unsafe {
            libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.len);
            libc::abort()
        }
    }
}

impl std::fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.text(text.as_bytes());
        Ok(())
    }
}

/// Gives the calling thread an alternate signal stack, if it has none (Rust's own threads do). It is freed with
/// the thread.
///
/// # Errors
///
/// What `sigaltstack` or `mmap` answer.
pub fn prepare_thread() -> io::Result<()> {
    thread_local! {
        static PREPARED: Cell<bool> = const { Cell::new(false) };
        static OWN: Cell<Option<SignalStack>> = const { Cell::new(None) };
    }
    if cfg!(miri) || PREPARED.get() {
        return Ok(());
    }
    let mut current = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: only reads the current setting, into memory that is large enough.
    let current = unsafe {
        if libc::sigaltstack(ptr::null(), current.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        current.assume_init()
    };
    if current.ss_flags & libc::SS_DISABLE != 0 {
        OWN.set(Some(SignalStack::new()?));
    }
    PREPARED.set(true);
    Ok(())
}

/// An alternate signal stack, with a guard page below.
struct SignalStack {
    mapping: *mut libc::c_void,
    len: usize,
}

impl SignalStack {
    /// Maps one and makes it the calling thread's.
    fn new() -> io::Result<SignalStack> {
        let page = super::page_size();
        // SAFETY: asks for a constant: what the kernel itself puts there (more with AVX-512 or SVE).
        let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        let size = (frame + (32 << 10)).max(libc::SIGSTKSZ).next_multiple_of(page);
        let len = size + page;
        // SAFETY: a new mapping, wherever the kernel likes.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if mapping == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = SignalStack { mapping, len };
        let setting = libc::stack_t { ss_sp: mapping.wrapping_byte_add(page), ss_flags: 0, ss_size: size };
        // SAFETY: the lowest page is nobody's yet; the rest stays mapped until `drop` takes the setting back.
        unsafe {
            libc::mprotect(mapping, page, libc::PROT_NONE);
            if libc::sigaltstack(&setting, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(stack)
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let off = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: this runs when the thread ends, not on the alternate stack. If somebody has set another stack
        // meanwhile, turning it off only makes a later fault of this dying thread terse.
        unsafe {
            libc::sigaltstack(&off, ptr::null_mut());
            libc::munmap(self.mapping, self.len);
        }
    }
}
