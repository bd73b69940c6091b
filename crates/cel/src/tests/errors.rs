//! What is wrong with an expression, and where.

use expect_test::expect;

use super::{answer, check};
use crate::Library;

#[test]
fn errors_are_shown_where_they_are() {
    check(
        r#"
1 +
1 + * 2
(1
a b
self.
self.true
f(
[1, 2
1 = 2
'abc
@
nope
nope.x
nope(1)
self.s.nope()
self.n == 'x'
self.n + 's'
self.s.contains(1)
size(1)
has(self.words[0])
if
var + 1
Foo{a: 1}
self.n == 1 && self.nope == 2 && self.s == 3
cel.bind(x, 1, x + 1)
"#,
        expect![[r#"
            1 +
              ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
               | 1 +
               | ...^
            1 + * 2
              ERROR: <input>:1:5: Syntax error: extraneous input '*' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
               | 1 + * 2
               | ....^
            (1
              ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'
               | (1
               | ..^
            a b
              ERROR: <input>:1:3: Syntax error: extraneous input 'b' expecting <EOF>
               | a b
               | ..^
            self.
              ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting IDENTIFIER
               | self.
               | .....^
            self.true
              ERROR: <input>:1:6: Syntax error: mismatched input 'true' expecting IDENTIFIER
               | self.true
               | .....^
            f(
              ERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
               | f(
               | ..^
            [1, 2
              ERROR: <input>:1:6: Syntax error: missing ']' at '<EOF>'
               | [1, 2
               | .....^
            1 = 2
              ERROR: <input>:1:3: Syntax error: token recognition error at: '= '
               | 1 = 2
               | ..^
              ERROR: <input>:1:5: Syntax error: extraneous input '2' expecting <EOF>
               | 1 = 2
               | ....^
            'abc
              ERROR: <input>:1:1: Syntax error: token recognition error at: ''abc'
               | 'abc
               | ^
              ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
               | 'abc
               | ....^
            @
              ERROR: <input>:1:1: Syntax error: token recognition error at: '@'
               | @
               | ^
              ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
               | @
               | .^
            nope
              ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')
               | nope
               | ^
            nope.x
              ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')
               | nope.x
               | ^
            nope(1)
              ERROR: <input>:1:5: undeclared reference to 'nope' (in container '')
               | nope(1)
               | ....^
            self.s.nope()
              ERROR: <input>:1:12: undeclared reference to 'nope' (in container '')
               | self.s.nope()
               | ...........^
            self.n == 'x'
              ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(int, string)'
               | self.n == 'x'
               | .......^
            self.n + 's'
              ERROR: <input>:1:8: found no matching overload for '_+_' applied to '(int, string)'
               | self.n + 's'
               | .......^
            self.s.contains(1)
              ERROR: <input>:1:16: found no matching overload for 'contains' applied to 'string.(int)'
               | self.s.contains(1)
               | ...............^
            size(1)
              ERROR: <input>:1:5: found no matching overload for 'size' applied to '(int)'
               | size(1)
               | ....^
            has(self.words[0])
              ERROR: <input>:1:15: invalid argument to has() macro
               | has(self.words[0])
               | ..............^
            if
              ERROR: <input>:1:1: reserved identifier: if
               | if
               | ^
            var + 1
              ERROR: <input>:1:1: reserved identifier: var
               | var + 1
               | ^
            Foo{a: 1}
              ERROR: <input>:1:4: undeclared reference to 'Foo' (in container '')
               | Foo{a: 1}
               | ...^
            self.n == 1 && self.nope == 2 && self.s == 3
              ERROR: <input>:1:20: undefined field 'nope'
               | self.n == 1 && self.nope == 2 && self.s == 3
               | ...................^
              ERROR: <input>:1:41: found no matching overload for '_==_' applied to '(string, int)'
               | self.n == 1 && self.nope == 2 && self.s == 3
               | ........................................^
            cel.bind(x, 1, x + 1)
              ERROR: <input>:1:1: undeclared reference to 'cel' (in container '')
               | cel.bind(x, 1, x + 1)
               | ^
              ERROR: <input>:1:9: undeclared reference to 'bind' (in container '')
               | cel.bind(x, 1, x + 1)
               | ........^
              ERROR: <input>:1:10: undeclared reference to 'x' (in container '')
               | cel.bind(x, 1, x + 1)
               | .........^
              ERROR: <input>:1:16: undeclared reference to 'x' (in container '')
               | cel.bind(x, 1, x + 1)
               | ...............^
        "#]],
    );
}

#[test]
fn names_are_bound_where_the_library_is_there() {
    const ALL: &[Library] = &[Library::Standard, Library::Bindings];
    answer(
        ALL,
        "cel.bind(x, 1 + 1, x * x)",
        false,
        expect![[r#"
        cel.bind(x, 1 + 1, x * x)
          4
    "#]],
    );
}
