//! Greenlet-locals: like thread-locals, with a value for each greenlet.

use crate::hub::Hub;
use std::any::Any;
use std::fmt;
use std::ptr;

/// The values of one greenlet, by the address of their `Local`.
#[derive(Default)]
pub(crate) struct Values {
    list: Vec<(usize, Box<dyn Any>)>,
}

impl Values {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn add(&mut self, key: usize, value: Box<dyn Any>) {
        self.list.push((key, value));
    }
}

/// A value for each greenlet, made when that greenlet first asks and dropped when it ends.
///
/// ```
/// use std::cell::Cell;
/// static REQUEST: greenloom::Local<Cell<u32>> = greenloom::Local::new(|| Cell::new(0));
///
/// REQUEST.with(|id| id.set(7));
/// let other = greenloom::spawn(|| REQUEST.with(|id| id.get()));
/// assert_eq!(other.join().unwrap(), 0);
/// assert_eq!(REQUEST.with(|id| id.get()), 7);
/// ```
pub struct Local<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> Local<T> {
    /// One whose values begin as what `init` returns.
    pub const fn new(init: fn() -> T) -> Local<T> {
        Local { init }
    }

    /// Gives `f` the running greenlet's value.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let co = Hub::get().current();
        let key = ptr::from_ref(self).addr();
        let find = || {
            let (_, value) = co.locals()?.list.iter().find(|(other, _)| *other == key)?;
            value.downcast_ref::<T>().map(ptr::from_ref)
        };
        let value = find().unwrap_or_else(|| {
            let value = Box::new((self.init)());
            let place: *const T = &*value;
            co.add_local(key, value);
            find().unwrap_or(place)
        });
        // SAFETY: values are boxed and stay at their place until their greenlet, the running one, ends.
        f(unsafe { &*value })
    }
}

impl<T> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}
