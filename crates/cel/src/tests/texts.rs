//! Texts and times.

use expect_test::expect;

use super::check;

#[test]
fn texts_are_searched_and_cut() {
    check(
        r#"
self.s
size(self.s)
self.s.size()
'a' + 'b'
'\u00e9' == self.s.substring(1, 2)
self.s.contains('llo')
self.s.startsWith('h')
self.s.endsWith('x')
self.s.matches('^h.*o$')
matches('abc', 'b')
'abc'.matches('[')
'abc'.charAt(1)
'abc'.charAt(3)
'abc'.charAt(4)
'abcb'.indexOf('b')
'abcb'.indexOf('b', 2)
'abcb'.lastIndexOf('b')
'abcb'.lastIndexOf('b', 2)
'abc'.indexOf('z')
['a', 'b'].join()
['a', 'b'].join('-')
'Ab'.lowerAscii() + 'Ab'.upperAscii()
'aXbXc'.replace('X', '-')
'aXbXc'.replace('X', '-', 1)
'a,b,c'.split(',')
'a,b,c'.split(',', 2)
'abc'.split('')
'abc'.substring(1)
'abc'.substring(4)
'abc'.substring(2, 1)
'  x '.trim()
strings.quote('a"b')
'%s is %d, %.2f, %x'.format(['a', 3, 1.5, 255])
'%s'.format([[1, 'a', {'k': true}]])
'%d'.format(['a'])
'%d'.format([])
'%q'.format([1])
'abc'.reverse()
r'\d' + "\t" + '''q'''
b'ab' == bytes('ab')
'abc'.find('b.')
'abc123'.find('[0-9]+')
'a1b22'.findAll('[0-9]+')
'a1b22'.findAll('[0-9]+', 1)
"#,
        expect![[r#"
            self.s
              "héllo"
            size(self.s)
              5
            self.s.size()
              5
            'a' + 'b'
              "ab"
            '\u00e9' == self.s.substring(1, 2)
              true
            self.s.contains('llo')
              true
            self.s.startsWith('h')
              true
            self.s.endsWith('x')
              false
            self.s.matches('^h.*o$')
              true
            matches('abc', 'b')
              true
            'abc'.matches('[')
              ERROR: <input>:1:15: invalid matches argument
               | 'abc'.matches('[')
               | ..............^
            'abc'.charAt(1)
              "b"
            'abc'.charAt(3)
              ""
            'abc'.charAt(4)
              ! index out of range: 4
            'abcb'.indexOf('b')
              1
            'abcb'.indexOf('b', 2)
              3
            'abcb'.lastIndexOf('b')
              3
            'abcb'.lastIndexOf('b', 2)
              1
            'abc'.indexOf('z')
              -1
            ['a', 'b'].join()
              "ab"
            ['a', 'b'].join('-')
              "a-b"
            'Ab'.lowerAscii() + 'Ab'.upperAscii()
              "abAB"
            'aXbXc'.replace('X', '-')
              "a-b-c"
            'aXbXc'.replace('X', '-', 1)
              "a-bXc"
            'a,b,c'.split(',')
              ["a", "b", "c"]
            'a,b,c'.split(',', 2)
              ["a", "b,c"]
            'abc'.split('')
              ["a", "b", "c"]
            'abc'.substring(1)
              "bc"
            'abc'.substring(4)
              ! index out of range: 4
            'abc'.substring(2, 1)
              ! invalid substring range. start: 2, end: 1
            '  x '.trim()
              "x"
            strings.quote('a"b')
              "\"a\\\"b\""
            '%s is %d, %.2f, %x'.format(['a', 3, 1.5, 255])
              "a is 3, 1.50, ff"
            '%s'.format([[1, 'a', {'k': true}]])
              "[1, \"a\", {\"k\": true}]"
            '%d'.format(['a'])
              ! error during formatting: decimal clause can only be used on integers, was given string
            '%d'.format([])
              ! index 0 out of range
            '%q'.format([1])
              ! could not parse formatting clause: unrecognized formatting clause "q"
            'abc'.reverse()
              ERROR: <input>:1:14: undeclared reference to 'reverse' (in container '')
               | 'abc'.reverse()
               | .............^
            r'\d' + "\t" + '''q'''
              "\\d\tq"
            b'ab' == bytes('ab')
              true
            'abc'.find('b.')
              "bc"
            'abc123'.find('[0-9]+')
              "123"
            'a1b22'.findAll('[0-9]+')
              ["1", "22"]
            'a1b22'.findAll('[0-9]+', 1)
              ["1"]
        "#]],
    );
}

#[test]
fn times_are_taken_apart_in_zones() {
    check(
        r#"
self.when
self.day
self.span
self.when.getFullYear()
self.when.getMonth()
self.when.getDate()
self.when.getDayOfMonth()
self.when.getDayOfYear()
self.when.getDayOfWeek()
self.when.getHours()
self.when.getHours('America/New_York')
self.when.getHours('+05:30')
self.when.getMinutes('-02:30')
self.when.getMilliseconds()
self.when.getHours('Nowhere/None')
timestamp('2024-01-01T00:00:00Z').getFullYear('America/New_York')
timestamp('2024-01-01T00:00:00Z') + duration('1h30m')
timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')
timestamp('2024-01-01T00:00:00Z') < self.when
timestamp('nope')
timestamp(self.s)
duration('1.5h').getMinutes()
duration('90s').getHours()
duration('-1.5s')
duration('1x')
duration(self.s)
self.span == duration('1h30m')
string(duration('90s'))
string(timestamp(0))
int(timestamp('1970-01-01T00:01:00Z'))
timestamp('9999-12-30T21:59:59Z') + duration('24h')
"#,
        expect![[r#"
            self.when
              2024-03-01T10:20:30.5Z
            self.day
              2024-02-29T00:00:00Z
            self.span
              5400s
            self.when.getFullYear()
              2024
            self.when.getMonth()
              2
            self.when.getDate()
              1
            self.when.getDayOfMonth()
              0
            self.when.getDayOfYear()
              60
            self.when.getDayOfWeek()
              5
            self.when.getHours()
              10
            self.when.getHours('America/New_York')
              5
            self.when.getHours('+05:30')
              15
            self.when.getMinutes('-02:30')
              50
            self.when.getMilliseconds()
              500
            self.when.getHours('Nowhere/None')
              ! unknown time zone Nowhere/None
            timestamp('2024-01-01T00:00:00Z').getFullYear('America/New_York')
              2023
            timestamp('2024-01-01T00:00:00Z') + duration('1h30m')
              2024-01-01T01:30:00Z
            timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')
              86400s
            timestamp('2024-01-01T00:00:00Z') < self.when
              true
            timestamp('nope')
              ERROR: <input>:1:11: invalid timestamp argument
               | timestamp('nope')
               | ..........^
            timestamp(self.s)
              ! type conversion error from 'string' to 'google.protobuf.Timestamp'
            duration('1.5h').getMinutes()
              90
            duration('90s').getHours()
              0
            duration('-1.5s')
              -1.5s
            duration('1x')
              ERROR: <input>:1:10: invalid duration argument
               | duration('1x')
               | .........^
            duration(self.s)
              ! type conversion error from 'string' to 'google.protobuf.Duration'
            self.span == duration('1h30m')
              true
            string(duration('90s'))
              "90s"
            string(timestamp(0))
              "1970-01-01T00:00:00Z"
            int(timestamp('1970-01-01T00:01:00Z'))
              60
            timestamp('9999-12-30T21:59:59Z') + duration('24h')
              ! timestamp overflow
        "#]],
    );
}
