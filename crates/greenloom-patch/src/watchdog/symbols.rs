//! Which function of which object an address is in.
//!
//! Not by `dladdr`: that waits for the loader's lock, which the thread that is asked about may hold. The kernel's list of
//! mappings and the objects' files say the same without a lock.

use super::report::Frame;
use super::stack::copy;
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A piece of an object's code.
struct Piece {
    start: usize,
    end: usize,
    /// Where in the file it begins.
    offset: u64,
    path: PathBuf,
}

/// The code of this process.
pub(super) struct Code {
    pieces: Vec<Piece>,
    symbols: RefCell<HashMap<PathBuf, Option<Symbols>>>,
}

/// The functions of an object, by their addresses in the object.
struct Symbols {
    /// Address, size and name, in order.
    functions: Vec<(u64, u64, String)>,
    /// Where the segments lie in the file, and where in memory: offset, length, address.
    segments: Vec<(u64, u64, u64)>,
}

impl Code {
    pub(super) fn of_this_process() -> Code {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Code { pieces: maps.lines().filter_map(Piece::parse).collect(), symbols: RefCell::default() }
    }

    fn piece(&self, address: usize) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.start <= address);
        self.pieces[..after].last().filter(|piece| address < piece.end)
    }

    /// The function that an address is in; nothing if it is not code of an object.
    pub(super) fn frame(&self, address: usize) -> Option<Frame> {
        let piece = self.piece(address)?;
        let mut known = self.symbols.borrow_mut();
        let symbols = known.entry(piece.path.clone()).or_insert_with(|| Symbols::read(&piece.path));
        let offset = (address - piece.start) as u64 + piece.offset;
        let symbol = symbols.as_ref().and_then(|symbols| symbols.at(offset));
        let object =
            piece.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Some(Frame { symbol, object })
    }

    /// Whether an address is one that a call returns to.
    pub(super) fn follows_call(&self, address: usize) -> bool {
        // A word of code before it, which may begin anywhere.
        if address < 8 || self.piece(address - 1).is_none_or(|piece| address - 8 < piece.start) {
            return false;
        }
        let mut word = [0];
        if !copy(address - 8, &mut word, 0, 8) {
            return false;
        }
        is_call(word[0].to_le_bytes())
    }
}

/// Whether the last instruction in these bytes is a call.
#[cfg(target_arch = "x86_64")]
fn is_call(bytes: [u8; 8]) -> bool {
    // A direct call has five bytes. An indirect one (FF /2) has two to seven, by its operand.
    let indirect = |len: usize, modes: &[u8]| {
        let [opcode, operand] = [bytes[8 - len], bytes[9 - len]];
        opcode == 0xff && operand >> 3 & 7 == 2 && modes.contains(&(operand >> 6))
    };
    bytes[3] == 0xe8
        || indirect(2, &[0, 3])
        || indirect(3, &[0, 1])
        || indirect(4, &[1])
        || indirect(6, &[0, 2])
        || indirect(7, &[0, 2])
}

#[cfg(target_arch = "aarch64")]
fn is_call(bytes: [u8; 8]) -> bool {
    let instruction = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let (bl, blr) = (instruction >> 26 == 0b10_0101, instruction & 0xffff_fc1f == 0xd63f_0000);
    bl || blr
}

impl Piece {
    /// A line such as `7f..-7f.. r-xp 00028000 fe:00 1234   /usr/lib/libc.so.6`.
    fn parse(line: &str) -> Option<Piece> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let executable = words.next()?.as_bytes().get(2) == Some(&b'x');
        let offset = u64::from_str_radix(words.next()?, 16).ok()?;
        // The path is the rest of the line, blanks and all.
        let path = &line[line.find('/')?..];
        let number = |text| usize::from_str_radix(text, 16).ok();
        executable.then_some(Piece { start: number(start)?, end: number(end)?, offset, path: path.into() })
    }
}

impl Symbols {
    fn read(path: &Path) -> Option<Symbols> {
        let data = std::fs::read(path).ok()?;
        let file = object::File::parse(&*data).ok()?;
        let mut functions: Vec<_> = file
            .symbols()
            .chain(file.dynamic_symbols())
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?.to_owned())))
            .collect();
        // Of several names for one place, the plainest.
        functions.sort_by(|a, b| (a.0, a.2.starts_with('_'), &a.2).cmp(&(b.0, b.2.starts_with('_'), &b.2)));
        functions.dedup_by_key(|function| function.0);
        let segments = file.segments().map(|segment| {
            let (offset, len) = segment.file_range();
            (offset, len, segment.address())
        });
        Some(Symbols { functions, segments: segments.collect() })
    }

    /// The function at a place in the file.
    fn at(&self, offset: u64) -> Option<String> {
        let (from, _, to) =
            self.segments.iter().find(|(from, len, _)| (*from..from + len).contains(&offset))?;
        let address = offset - from + to;
        let after = self.functions.partition_point(|function| function.0 <= address);
        let (start, size, name) = self.functions[..after].last()?;
        // Hand-written assembly has no size.
        (*size == 0 || address < start + size).then(|| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_an_address_in_it() {
        let code = Code::of_this_process();
        // SAFETY: dlsym only looks up.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"getppid".as_ptr()) }.addr();
        let frame = code.frame(address + 1).unwrap();
        assert_eq!(frame.symbol.as_deref(), Some("getppid"));
        assert!(frame.is_libc(), "{frame}");
        assert!(code.frame(8).is_none());
    }

    #[test]
    fn calls_are_told_from_other_instructions() {
        #[cfg(target_arch = "x86_64")]
        let (calls, other) = (
            vec![
                [0, 0, 0, 0xe8, 1, 2, 3, 4],
                [0, 0, 0, 0, 0, 0, 0xff, 0xd0],
                [0, 0, 0xff, 0x15, 1, 2, 3, 4],
                [0, 0, 0, 0, 0, 0xff, 0x50, 0x18],
            ],
            [0x90; 8],
        );
        #[cfg(target_arch = "aarch64")]
        let (calls, other) = (vec![[0, 0, 0, 0, 0, 0, 0, 0x94], [0, 0, 0, 0, 0, 0, 0x3f, 0xd6]], [0; 8]);
        assert!(calls.into_iter().all(is_call));
        assert!(!is_call(other));
    }

    #[test]
    fn lines_of_the_kernels_list_are_read() {
        let line = "7f10a000-7f10b000 r-xp 00028000 fe:00 1234    /usr/lib/a name.so (deleted)";
        let piece = Piece::parse(line).unwrap();
        assert_eq!((piece.start, piece.end, piece.offset), (0x7f10_a000, 0x7f10_b000, 0x28000));
        assert_eq!(piece.path, Path::new("/usr/lib/a name.so (deleted)"));
        assert!(Piece::parse("7f10a000-7f10b000 rw-p 00028000 fe:00 1234    /usr/lib/a.so").is_none());
        assert!(Piece::parse("7ffc1000-7ffc2000 r-xp 00000000 00:00 0    [vdso]").is_none());
    }
}
