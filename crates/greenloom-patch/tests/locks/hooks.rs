//! The hooks as functions, and pthread objects to call them with.

use greenloom_patch::testing::hook;
use libc::{c_int, c_long, clockid_t, timespec};
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::mem::MaybeUninit;

macro_rules! hooks {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $ret:ty;)*) => {$(
        /// The hook.
        pub(crate) unsafe fn $name($($arg: $type),*) -> $ret {
            const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => unreachable!(),
            };
            static HOOK: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
            let hook = *HOOK.get_or_init(|| hook(NAME).expect(stringify!($name)).addr());
            // SAFETY: of the type of the function.
            unsafe { std::mem::transmute::<usize, unsafe extern "C-unwind" fn($($type),*) -> $ret>(hook)($($arg),*) }
        }
    )*};
}

pub(crate) type M = *mut libc::pthread_mutex_t;
pub(crate) type C = *mut libc::pthread_cond_t;
pub(crate) type R = *mut libc::pthread_rwlock_t;
pub(crate) type T = *const timespec;

hooks! {
    fn pthread_mutex_lock(mutex: M) -> c_int;
    fn pthread_mutex_trylock(mutex: M) -> c_int;
    fn pthread_mutex_timedlock(mutex: M, until: T) -> c_int;
    fn pthread_mutex_clocklock(mutex: M, clock: clockid_t, until: T) -> c_int;
    fn pthread_mutex_unlock(mutex: M) -> c_int;
    fn pthread_cond_wait(condition: C, mutex: M) -> c_int;
    fn pthread_cond_timedwait(condition: C, mutex: M, until: T) -> c_int;
    fn pthread_cond_clockwait(condition: C, mutex: M, clock: clockid_t, until: T) -> c_int;
    fn pthread_cond_signal(condition: C) -> c_int;
    fn pthread_cond_broadcast(condition: C) -> c_int;
    fn pthread_rwlock_rdlock(lock: R) -> c_int;
    fn pthread_rwlock_timedrdlock(lock: R, until: T) -> c_int;
    fn pthread_rwlock_wrlock(lock: R) -> c_int;
    fn pthread_rwlock_timedwrlock(lock: R, until: T) -> c_int;
    fn pthread_rwlock_unlock(lock: R) -> c_int;
    fn pthread_once(control: *mut c_int, function: extern "C-unwind" fn()) -> c_int;
    fn syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long;
}

/// A mutex with the hooks as methods.
pub(crate) struct Mutex(Box<UnsafeCell<libc::pthread_mutex_t>>);

// SAFETY: what it is for.
unsafe impl Send for Mutex {}
// SAFETY: as above.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// One of this type, as in `PTHREAD_MUTEX_RECURSIVE`.
    pub(crate) fn new(kind: c_int) -> Mutex {
        Mutex::with(|attributes| {
            // SAFETY: initialised attributes.
            unsafe { libc::pthread_mutexattr_settype(attributes, kind) }
        })
    }

    pub(crate) fn with(set: impl FnOnce(*mut libc::pthread_mutexattr_t) -> c_int) -> Mutex {
        let mut attributes = MaybeUninit::uninit();
        let mutex = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: in this order.
        unsafe {
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            assert_eq!(set(attributes.as_mut_ptr()), 0);
            assert_eq!(libc::pthread_mutex_init(mutex.get(), attributes.as_ptr()), 0);
        }
        Mutex(mutex)
    }

    pub(crate) fn normal() -> Mutex {
        Mutex::new(libc::PTHREAD_MUTEX_NORMAL)
    }

    pub(crate) fn get(&self) -> M {
        self.0.get()
    }

    /// Returns what the function does.
    pub(crate) fn try_to_lock(&self) -> c_int {
        // SAFETY: a mutex.
        unsafe { pthread_mutex_lock(self.get()) }
    }

    #[track_caller]
    pub(crate) fn lock(&self) {
        assert_eq!(self.try_to_lock(), 0);
    }

    pub(crate) fn trylock(&self) -> c_int {
        // SAFETY: a mutex.
        unsafe { pthread_mutex_trylock(self.get()) }
    }

    #[track_caller]
    pub(crate) fn unlock(&self) {
        // SAFETY: a mutex.
        assert_eq!(unsafe { pthread_mutex_unlock(self.get()) }, 0);
    }

    /// Calls `f` with the mutex locked.
    #[track_caller]
    pub(crate) fn locked<T>(&self, f: impl FnOnce() -> T) -> T {
        self.lock();
        let result = f();
        self.unlock();
        result
    }
}

/// A condition with the hooks as methods.
pub(crate) struct Condition(Box<UnsafeCell<libc::pthread_cond_t>>);

// SAFETY: what it is for.
unsafe impl Send for Condition {}
// SAFETY: as above.
unsafe impl Sync for Condition {}

impl Condition {
    /// One that goes by this clock.
    pub(crate) fn new(clock: clockid_t) -> Condition {
        let mut attributes = MaybeUninit::uninit();
        let condition = Box::new(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER));
        // SAFETY: in this order.
        unsafe {
            libc::pthread_condattr_init(attributes.as_mut_ptr());
            assert_eq!(libc::pthread_condattr_setclock(attributes.as_mut_ptr(), clock), 0);
            assert_eq!(libc::pthread_cond_init(condition.get(), attributes.as_ptr()), 0);
        }
        Condition(condition)
    }

    pub(crate) fn get(&self) -> C {
        self.0.get()
    }

    pub(crate) fn wait(&self, mutex: &Mutex) {
        // SAFETY: a condition and a mutex.
        assert_eq!(unsafe { pthread_cond_wait(self.get(), mutex.get()) }, 0);
    }

    pub(crate) fn timedwait(&self, mutex: &Mutex, until: timespec) -> c_int {
        // SAFETY: a condition and a mutex.
        unsafe { pthread_cond_timedwait(self.get(), mutex.get(), &until) }
    }

    pub(crate) fn signal(&self) {
        // SAFETY: a condition.
        assert_eq!(unsafe { pthread_cond_signal(self.get()) }, 0);
    }

    pub(crate) fn broadcast(&self) {
        // SAFETY: a condition.
        assert_eq!(unsafe { pthread_cond_broadcast(self.get()) }, 0);
    }
}

/// A read-write lock with the hooks as methods.
pub(crate) struct RwLock(Box<UnsafeCell<libc::pthread_rwlock_t>>);

// SAFETY: what it is for.
unsafe impl Send for RwLock {}
// SAFETY: as above.
unsafe impl Sync for RwLock {}

impl RwLock {
    pub(crate) fn new() -> RwLock {
        RwLock(Box::new(UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER)))
    }

    pub(crate) fn get(&self) -> R {
        self.0.get()
    }

    pub(crate) fn read(&self) {
        // SAFETY: a lock.
        assert_eq!(unsafe { pthread_rwlock_rdlock(self.get()) }, 0);
    }

    pub(crate) fn write(&self) {
        // SAFETY: a lock.
        assert_eq!(unsafe { pthread_rwlock_wrlock(self.get()) }, 0);
    }

    pub(crate) fn unlock(&self) {
        // SAFETY: a lock.
        assert_eq!(unsafe { pthread_rwlock_unlock(self.get()) }, 0);
    }
}

/// The time that is so many ms from now on this clock.
pub(crate) fn from_now(clock: clockid_t, ms: i64) -> timespec {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time`.
    unsafe { libc::clock_gettime(clock, &mut time) };
    let ns = time.tv_nsec + ms * 1_000_000;
    timespec { tv_sec: time.tv_sec + ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) }
}
