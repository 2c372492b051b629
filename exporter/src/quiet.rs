//! Catches expected panics of libraries without a message on standard error. Such a panic is the answer of a library to
//! a damaged file or a full disk, and its message may contain a value of a row.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

/// Whether a panic with this message is expected.
type Expectation = fn(&str) -> bool;

thread_local! {
    /// The panics of this thread that are expected.
    static EXPECTED: Cell<Option<Expectation>> = const { Cell::new(None) };
}

static HOOK: Once = Once::new();

/// Restores the expectation of the surrounding code when it is dropped.
struct Restore(Option<Expectation>);

impl Drop for Restore {
    fn drop(&mut self) {
        EXPECTED.set(self.0);
    }
}

/// Runs code of a library, and returns the payload of a panic as an error. The panic hook of the process does not run
/// for a panic whose message is expected.
pub(crate) fn catch_panic<T>(is_expected: Expectation, code: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    HOOK.call_once(|| {
        let other = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_quiet(info.payload()) {
                other(info);
            }
        }));
    });
    let _restore = Restore(EXPECTED.replace(Some(is_expected)));
    catch_unwind(AssertUnwindSafe(code))
}

/// Whether the hook must not report a panic of this thread.
fn is_quiet(payload: &(dyn Any + Send)) -> bool {
    EXPECTED.get().is_some_and(|is_expected| is_expected(message(payload)))
}

/// Returns the message of a panic; an empty text for a payload that is no message.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{set_hook, take_hook},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[test]
    fn only_expected_panics_are_quiet() {
        let quiet = Arc::new(Mutex::new(Vec::new()));
        assert_eq!(catch_panic(|_| true, || 1).unwrap(), 1);
        // other tests of this process may panic at the same time
        let (other, quiet_by_hook, this) = (take_hook(), Arc::clone(&quiet), std::thread::current().id());
        set_hook(Box::new(move |info| {
            if std::thread::current().id() == this {
                quiet_by_hook.lock().unwrap().push(is_quiet(info.payload()));
            } else {
                other(info);
            }
        }));
        let caught = |expected: Expectation, text: &'static str| {
            message(&*catch_panic(expected, || -> i32 { std::panic::panic_any(text) }).unwrap_err()).to_owned()
        };
        assert_eq!(caught(|_| true, "its bytes"), "its bytes");
        assert_eq!(caught(|text| text == "full", "broken"), "broken");
        assert_eq!(caught(|text| text == "full", "full"), "full");
        assert!(catch_unwind(|| panic!("later")).is_err());
        assert_eq!(*quiet.lock().unwrap(), [true, false, true, false]);
    }
}
