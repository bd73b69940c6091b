//! The types of Kubernetes' libraries.

use expect_test::expect;

use super::check;

#[test]
fn libraries_know_kubernetes_types() {
    check(
        r#"
quantity('1Gi').isGreaterThan(quantity('500Mi'))
quantity('1').compareTo(quantity('1000m'))
quantity('50k').add(quantity('20k')) == quantity('70k')
quantity('50k').sub(20000) == quantity('30k')
quantity('1.5').isInteger()
quantity('1.5').asInteger()
quantity('2k').asInteger()
quantity('-1').sign()
quantity('500m').asApproximateFloat()
quantity('x')
isQuantity('1Gi') && !isQuantity('x')
ip('192.168.0.1').family()
ip('::1').isLoopback()
ip('fe80::1').isLinkLocalUnicast()
ip('224.0.0.1').isLinkLocalMulticast()
ip('8.8.8.8').isGlobalUnicast()
ip('0.0.0.0').isUnspecified()
ip('1.2.3')
ip('1.2.3.256')
ip('::ffff:1.2.3.4')
ip.isCanonical('2001:DB8::1')
isIP('1.2.3.4') && !isIP('x')
string(ip('2001:db8::0001'))
cidr('10.0.0.0/8').containsIP('10.1.2.3')
cidr('10.0.0.0/8').containsIP(ip('11.1.2.3'))
cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')
cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))
cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')
cidr('10.1.2.3/8').ip() == ip('10.1.2.3')
cidr('10.0.0.0/8').prefixLength()
string(cidr('10.0.0.0/8'))
cidr('10.0.0.0')
isCIDR('10.0.0.0/33')
type(ip('1.2.3.4')) == net.IP
url('https://user@example.com:80/a b/c?k=1&k=2&l=x%20y#f').getHost()
url('https://example.com:80/a').getHostname()
url('https://example.com:80/a').getPort()
url('https://example.com/a b').getEscapedPath()
url('https://example.com/?k=1&k=2&l=x%20y').getQuery()
url('/path').getScheme()
url('path')
isURL('https://a.b') && !isURL('../x')
semver('1.2.3').isLessThan(semver('1.10.0'))
semver('1.0.0-alpha').compareTo(semver('1.0.0'))
semver('v1.2', true).minor()
semver('1.2')
isSemver('1.2.3') && !isSemver('v1.0') && isSemver('v1.0', true)
format.named('dns1123Label').value().validate('Bad').value()[0]
format.dns1123Label().validate('good').hasValue()
format.dns1123LabelPrefix().validate('good-').hasValue()
format.named('nope').hasValue()
format.uuid().validate('x').value()
"#,
        expect![[r#"
            quantity('1Gi').isGreaterThan(quantity('500Mi'))
              true
            quantity('1').compareTo(quantity('1000m'))
              0
            quantity('50k').add(quantity('20k')) == quantity('70k')
              true
            quantity('50k').sub(20000) == quantity('30k')
              true
            quantity('1.5').isInteger()
              false
            quantity('1.5').asInteger()
              ! cannot convert value to integer
            quantity('2k').asInteger()
              2000
            quantity('-1').sign()
              -1
            quantity('500m').asApproximateFloat()
              0.5
            quantity('x')
              ! quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
            isQuantity('1Gi') && !isQuantity('x')
              true
            ip('192.168.0.1').family()
              4
            ip('::1').isLoopback()
              true
            ip('fe80::1').isLinkLocalUnicast()
              true
            ip('224.0.0.1').isLinkLocalMulticast()
              true
            ip('8.8.8.8').isGlobalUnicast()
              true
            ip('0.0.0.0').isUnspecified()
              true
            ip('1.2.3')
              ! IP Address "1.2.3" parse error during conversion from string: ParseAddr("1.2.3"): IPv4 address too short
            ip('1.2.3.256')
              ! IP Address "1.2.3.256" parse error during conversion from string: ParseAddr("1.2.3.256"): IPv4 field has value >255
            ip('::ffff:1.2.3.4')
              ! IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed
            ip.isCanonical('2001:DB8::1')
              false
            isIP('1.2.3.4') && !isIP('x')
              true
            string(ip('2001:db8::0001'))
              "2001:db8::1"
            cidr('10.0.0.0/8').containsIP('10.1.2.3')
              true
            cidr('10.0.0.0/8').containsIP(ip('11.1.2.3'))
              false
            cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')
              true
            cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))
              false
            cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')
              true
            cidr('10.1.2.3/8').ip() == ip('10.1.2.3')
              true
            cidr('10.0.0.0/8').prefixLength()
              8
            string(cidr('10.0.0.0/8'))
              "10.0.0.0/8"
            cidr('10.0.0.0')
              ! network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0"): no '/'
            isCIDR('10.0.0.0/33')
              false
            type(ip('1.2.3.4')) == net.IP
              true
            url('https://user@example.com:80/a b/c?k=1&k=2&l=x%20y#f').getHost()
              "example.com:80"
            url('https://example.com:80/a').getHostname()
              "example.com"
            url('https://example.com:80/a').getPort()
              "80"
            url('https://example.com/a b').getEscapedPath()
              "/a%20b"
            url('https://example.com/?k=1&k=2&l=x%20y').getQuery()
              {"k": ["1", "2"], "l": ["x y"]}
            url('/path').getScheme()
              ""
            url('path')
              ! URL parse error during conversion from string: parse "path": invalid URI for request
            isURL('https://a.b') && !isURL('../x')
              true
            semver('1.2.3').isLessThan(semver('1.10.0'))
              true
            semver('1.0.0-alpha').compareTo(semver('1.0.0'))
              -1
            semver('v1.2', true).minor()
              2
            semver('1.2')
              ! No Major.Minor.Patch elements found
            isSemver('1.2.3') && !isSemver('v1.0') && isSemver('v1.0', true)
              true
            format.named('dns1123Label').value().validate('Bad').value()[0]
              "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            format.dns1123Label().validate('good').hasValue()
              false
            format.dns1123LabelPrefix().validate('good-').hasValue()
              false
            format.named('nope').hasValue()
              false
            format.uuid().validate('x').value()
              ["does not match the UUID format"]
        "#]],
    );
}
