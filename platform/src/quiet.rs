//! Catches expected panics of libraries, and keeps their messages from standard error. Some libraries panic because of
//! a damaged file or a full disk, and the panic message may contain a value of a row.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

/// A function that returns whether a panic with this message is expected.
type Expectation = fn(&str) -> bool;

thread_local! {
    /// The function that recognizes expected panics of this thread; None outside of [`catch_panic`].
    static EXPECTED: Cell<Option<Expectation>> = const { Cell::new(None) };
}

static HOOK: Once = Once::new();

/// Restores the previous value of [`EXPECTED`] on drop.
struct Restore(Option<Expectation>);

impl Drop for Restore {
    fn drop(&mut self) {
        EXPECTED.set(self.0);
    }
}

/// Calls `code`, and returns the payload of any panic as an error. If `is_expected` accepts the panic message, the
/// function does not call the panic hook of the process, which prints the message.
pub fn catch_panic<T>(is_expected: Expectation, code: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
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

/// Whether this thread expects the panic, so that the panic hook must not report it.
fn is_quiet(payload: &(dyn Any + Send)) -> bool {
    EXPECTED.get().is_some_and(|is_expected| is_expected(message(payload)))
}

/// Returns the message in the payload of a panic. The message is empty if the payload is not a text.
pub fn message(payload: &(dyn Any + Send)) -> &str {
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
