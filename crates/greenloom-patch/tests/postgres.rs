//! An unmodified blocking client of PostgreSQL: libpq, the client library that most others are made of, loaded at run time.

mod common;

use common::server::{self, Directory};
use common::{assert_together, ms, together};
use greenloom_patch::{Groups, Rule};
use std::ffi::{CStr, CString, c_char, c_int, c_void};

/// What of libpq is called here.
#[derive(Clone, Copy)]
struct Libpq {
    connect: unsafe extern "C" fn(*const c_char) -> *mut c_void,
    status: unsafe extern "C" fn(*const c_void) -> c_int,
    error: unsafe extern "C" fn(*const c_void) -> *const c_char,
    run: unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void,
    result_status: unsafe extern "C" fn(*const c_void) -> c_int,
    value: unsafe extern "C" fn(*const c_void, c_int, c_int) -> *const c_char,
    clear: unsafe extern "C" fn(*mut c_void),
    finish: unsafe extern "C" fn(*mut c_void),
}

const CONNECTION_OK: c_int = 0;
const PGRES_TUPLES_OK: c_int = 2;

impl Libpq {
    fn load() -> Option<Libpq> {
        // SAFETY: the library does nothing at its loading; it stays loaded.
        let library = unsafe { libc::dlopen(c"libpq.so.5".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            let required = std::env::var("GREENLOOM_TEST_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
            assert!(!required, "no libpq.so.5: apt-get install libpq5");
            println!("skipped, no libpq.so.5: apt-get install libpq5");
            return None;
        }
        macro_rules! find {
            ($name:literal) => {{
                // SAFETY: a library that is loaded.
                let function = unsafe { libc::dlsym(library, $name.as_ptr()) };
                assert!(!function.is_null(), "libpq has {:?}", $name);
                // SAFETY: a function of the type that libpq's manual says.
                unsafe { std::mem::transmute_copy(&function) }
            }};
        }
        Some(Libpq {
            connect: find!(c"PQconnectdb"),
            status: find!(c"PQstatus"),
            error: find!(c"PQerrorMessage"),
            run: find!(c"PQexec"),
            result_status: find!(c"PQresultStatus"),
            value: find!(c"PQgetvalue"),
            clear: find!(c"PQclear"),
            finish: find!(c"PQfinish"),
        })
    }
}

/// A connection, closed when it is dropped.
struct Connection {
    library: Libpq,
    raw: *mut c_void,
}

impl Connection {
    fn open(library: Libpq, parameters: &str) -> Connection {
        let parameters = CString::new(parameters).unwrap();
        // SAFETY: as libpq's manual has it.
        let raw = unsafe { (library.connect)(parameters.as_ptr()) };
        let connection = Connection { library, raw };
        // SAFETY: as above.
        assert_eq!(unsafe { (library.status)(raw) }, CONNECTION_OK, "{}", connection.error());
        connection
    }

    fn error(&self) -> String {
        // SAFETY: the connection's, valid until the next call.
        unsafe { CStr::from_ptr((self.library.error)(self.raw)) }.to_string_lossy().into_owned()
    }

    /// The first value of the first row.
    fn query(&mut self, query: &str) -> Result<String, String> {
        let query = CString::new(query).unwrap();
        // SAFETY: as libpq's manual has it; the result is freed below, after its value was copied.
        unsafe {
            let result = (self.library.run)(self.raw, query.as_ptr());
            let answer = if (self.library.result_status)(result) == PGRES_TUPLES_OK {
                Ok(CStr::from_ptr((self.library.value)(result, 0, 0)).to_string_lossy().into_owned())
            } else {
                Err(self.error())
            };
            (self.library.clear)(result);
            answer
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: not used any more.
        unsafe { (self.library.finish)(self.raw) };
    }
}

#[test]
fn twenty_sleeping_queries_are_one() {
    common::patched();
    // It is loaded only later.
    greenloom_patch::patch(&[Rule::new("libpq", Groups::DRIVER).unwrap()]).unwrap();
    let directory = Directory::new("postgres");
    let Some(_server) = server::postgres(directory.path()) else { return };
    let Some(library) = Libpq::load() else { return };
    let parameters = format!("host={} user=tests dbname=postgres", directory.path().display());
    let (answers, took) = together(20, {
        let parameters = parameters.clone();
        move |number| {
            let mut connection = Connection::open(library, &parameters);
            connection.query(&format!("select {number} from pg_sleep(0.5)")).unwrap()
        }
    });
    assert_eq!(answers, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(took >= ms(500));
    assert_together("20 x select pg_sleep(0.5) with libpq", took, ms(3000), ms(10_000));

    // A kill ends the query; the connection counts as broken, and others are unharmed.
    let other = {
        let parameters = parameters.clone();
        greenloom::spawn(move || {
            Connection::open(library, &parameters).query("select 'fine' from pg_sleep(0.3)")
        })
    };
    let late = greenloom::timeout(ms(200), || {
        Connection::open(library, &parameters).query("select 'late' from pg_sleep(60)")
    });
    assert!(late.is_err());
    assert_eq!(other.join().unwrap().as_deref(), Ok("fine"));
}
