//! Numbers, logic, fields, what may be missing, conversions.

use expect_test::expect;

use super::check;

#[test]
fn numbers_are_added_compared_and_overflow() {
    check(
        r#"
1 + 2 * 3 - 4 / 2
7 % 3
-7 / 2
-7 % 3
2u + 3u
1u - 2u
1.5 + 2.25
9223372036854775807 + 1
-9223372036854775808
0x1F
1 / 0
1 % 0
1.0 / 0.0
1 + 1u
1 == 1.0
1u == 1
1 < 2.5
dyn(1) == 1u
dyn(1) == 'x'
self.n + 1
self.d == 2.0
self.d + 1
-self.n
--self.n
!!self.b
!self.n
"#,
        expect![[r#"
            1 + 2 * 3 - 4 / 2
              5
            7 % 3
              1
            -7 / 2
              -3
            -7 % 3
              -1
            2u + 3u
              5
            1u - 2u
              ! unsigned integer overflow
            1.5 + 2.25
              3.75
            9223372036854775807 + 1
              ! integer overflow
            -9223372036854775808
              -9223372036854775808
            0x1F
              31
            1 / 0
              ! division by zero
            1 % 0
              ! modulus by zero
            1.0 / 0.0
              inf
            1 + 1u
              ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, uint)'
               | 1 + 1u
               | ..^
            1 == 1.0
              ERROR: <input>:1:3: found no matching overload for '_==_' applied to '(int, double)'
               | 1 == 1.0
               | ..^
            1u == 1
              ERROR: <input>:1:4: found no matching overload for '_==_' applied to '(uint, int)'
               | 1u == 1
               | ...^
            1 < 2.5
              true
            dyn(1) == 1u
              true
            dyn(1) == 'x'
              false
            self.n + 1
              4
            self.d == 2.0
              true
            self.d + 1
              ERROR: <input>:1:8: found no matching overload for '_+_' applied to '(double, int)'
               | self.d + 1
               | .......^
            -self.n
              -3
            --self.n
              3
            !!self.b
              true
            !self.n
              ERROR: <input>:1:1: found no matching overload for '!_' applied to '(int)'
               | !self.n
               | ^
        "#]],
    );
}

#[test]
fn logic_absorbs_errors() {
    check(
        r#"
true || 1 / 0 > 1
1 / 0 > 1 || true
false && 1 / 0 > 1
1 / 0 > 1 && false
1 / 0 > 1 && true
1 / 0 > 1 || false
true ? 1 : 2
self.b ? 'yes' : 'no'
1 ? 2 : 3
true ? 1 : 'x'
1 && true
[1, 2].exists(x, x / 0 > 1)
[0, 1].exists(x, 1 / x > 0)
[0, 1].all(x, 1 / x > 1)
"#,
        expect![[r#"
            true || 1 / 0 > 1
              true
            1 / 0 > 1 || true
              true
            false && 1 / 0 > 1
              false
            1 / 0 > 1 && false
              false
            1 / 0 > 1 && true
              ! division by zero
            1 / 0 > 1 || false
              ! division by zero
            true ? 1 : 2
              1
            self.b ? 'yes' : 'no'
              "yes"
            1 ? 2 : 3
              ERROR: <input>:1:3: found no matching overload for '_?_:_' applied to '(int, int, int)'
               | 1 ? 2 : 3
               | ..^
            true ? 1 : 'x'
              ERROR: <input>:1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'
               | true ? 1 : 'x'
               | .....^
            1 && true
              ERROR: <input>:1:3: found no matching overload for '_&&_' applied to '(int, bool)'
               | 1 && true
               | ..^
            [1, 2].exists(x, x / 0 > 1)
              ! division by zero
            [0, 1].exists(x, 1 / x > 0)
              true
            [0, 1].all(x, 1 / x > 1)
              false
        "#]],
    );
}

#[test]
fn types_are_converted() {
    check(
        r#"
int('42') + int(3.9) + int(2u)
int('x')
int(1e30)
uint(-1)
uint('7')
double('1.5')
double('x')
string(1.0)
string(1e30)
string(true)
string(b'ab')
string(b'\xff')
bool('true')
bool('x')
bytes('hi')
self.bytes == b'hi'
type(1) == int
type(self.s) == string
type(self.port) == string
type([1]) == list
type(null)
type(type(1))
dyn(self.n) == 3
self.port == '50%'
self.port + 1
self.port.contains('5')
int(self.port)
type(self.port) == int ? self.port < 5 : self.port.endsWith('%')
null == null
self.inner == null
self.s == null
"#,
        expect![[r#"
            int('42') + int(3.9) + int(2u)
              47
            int('x')
              ! type conversion error from 'string' to 'int'
            int(1e30)
              ! integer overflow
            uint(-1)
              ! unsigned integer overflow
            uint('7')
              7
            double('1.5')
              1.5
            double('x')
              ! type conversion error from 'string' to 'double'
            string(1.0)
              "1"
            string(1e30)
              "1e+30"
            string(true)
              "true"
            string(b'ab')
              "ab"
            string(b'\xff')
              ! invalid UTF-8 in bytes, cannot convert to string
            bool('true')
              true
            bool('x')
              ! type conversion error from 'string' to 'bool'
            bytes('hi')
              hi
            self.bytes == b'hi'
              true
            type(1) == int
              true
            type(self.s) == string
              true
            type(self.port) == string
              true
            type([1]) == list
              true
            type(null)
              null_type
            type(type(1))
              type
            dyn(self.n) == 3
              true
            self.port == '50%'
              true
            self.port + 1
              ! no such overload
            self.port.contains('5')
              true
            int(self.port)
              ! type conversion error from 'string' to 'int'
            type(self.port) == int ? self.port < 5 : self.port.endsWith('%')
              true
            null == null
              true
            self.inner == null
              false
            self.s == null
              ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(string, null)'
               | self.s == null
               | .......^
        "#]],
    );
}

#[test]
fn fields_are_there_or_not() {
    check(
        r#"
has(self.s)
has(self.absent)
self.absent
has(self.inner.y)
self.inner.x == 1
self.inner.y
self.inner.z
has(self.inner.z)
has(self)
self.nope
self.n.x
self.metadata.name
self.metadata.labels
self.kind + self.apiVersion
self.a__dot__b
self.a__dash__b__slash__c
self.__namespace__
self.under__underscores__score
self.free == {}
self.free.z
has(self.labels.app)
has(self.labels.none)
self.inner == self.inner
"#,
        expect![[r#"
            has(self.s)
              true
            has(self.absent)
              false
            self.absent
              ! no such key: absent
            has(self.inner.y)
              false
            self.inner.x == 1
              true
            self.inner.y
              ! no such key: y
            self.inner.z
              ERROR: <input>:1:11: undefined field 'z'
               | self.inner.z
               | ..........^
            has(self.inner.z)
              ERROR: <input>:1:4: undefined field 'z'
               | has(self.inner.z)
               | ...^
            has(self)
              ERROR: <input>:1:5: invalid argument to has() macro
               | has(self)
               | ....^
            self.nope
              ERROR: <input>:1:5: undefined field 'nope'
               | self.nope
               | ....^
            self.n.x
              ERROR: <input>:1:7: type 'int' does not support field selection
               | self.n.x
               | ......^
            self.metadata.name
              "w"
            self.metadata.labels
              ERROR: <input>:1:14: undefined field 'labels'
               | self.metadata.labels
               | .............^
            self.kind + self.apiVersion
              "Wg/v1"
            self.a__dot__b
              5
            self.a__dash__b__slash__c
              6
            self.__namespace__
              "ns"
            self.under__underscores__score
              7
            self.free == {}
              ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(selfType.free, map(_var0, _var1))'
               | self.free == {}
               | ..........^
            self.free.z
              ERROR: <input>:1:10: undefined field 'z'
               | self.free.z
               | .........^
            has(self.labels.app)
              true
            has(self.labels.none)
              false
            self.inner == self.inner
              true
        "#]],
    );
}

#[test]
fn what_may_be_missing_is_optional() {
    check(
        r#"
self.?absent
self.?absent.hasValue()
self.?s.orValue('none')
self.?absent.orValue('none')
self.?absent.or(optional.of('x')).value()
self.?inner.?y.orValue('z')
self.?inner.x
self.labels[?'none'].orValue('-')
self.words[?7].orValue('-')
[?self.?absent, ?optional.of('x')]
{?'a': self.?absent, ?'b': optional.of('y')}
optional.none().hasValue()
optional.none().value()
optional.ofNonZeroValue('').hasValue()
optional.ofNonZeroValue(1).value()
self.?s.optMap(x, x.size()).orValue(0)
self.?absent.optMap(x, x.size()).orValue(0)
self.?s.optFlatMap(x, optional.of(x + '!')).value()
optional.of(1) == optional.of(1)
self.?nope
"#,
        expect![[r#"
            self.?absent
              optional_type
            self.?absent.hasValue()
              false
            self.?s.orValue('none')
              "héllo"
            self.?absent.orValue('none')
              "none"
            self.?absent.or(optional.of('x')).value()
              "x"
            self.?inner.?y.orValue('z')
              "z"
            self.?inner.x
              optional_type
            self.labels[?'none'].orValue('-')
              "-"
            self.words[?7].orValue('-')
              "-"
            [?self.?absent, ?optional.of('x')]
              ["x"]
            {?'a': self.?absent, ?'b': optional.of('y')}
              {"b": "y"}
            optional.none().hasValue()
              false
            optional.none().value()
              ! optional.none() dereference
            optional.ofNonZeroValue('').hasValue()
              false
            optional.ofNonZeroValue(1).value()
              1
            self.?s.optMap(x, x.size()).orValue(0)
              5
            self.?absent.optMap(x, x.size()).orValue(0)
              0
            self.?s.optFlatMap(x, optional.of(x + '!')).value()
              "héllo!"
            optional.of(1) == optional.of(1)
              true
            self.?nope
              ERROR: <input>:1:5: undefined field 'nope'
               | self.?nope
               | ....^
        "#]],
    );
}
