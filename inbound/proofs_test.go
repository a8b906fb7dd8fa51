package inbound_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// proofs says where the rows of the catalogue of what clients do wrong, S1 to
// S36, are tested, by file and test.
var proofs = [...]string{
	1:  "internal/smtp/decoder_test.go:TestDecoderSmuggling inbound/smtpd/content_test.go:TestSmuggling inbound/ofmipd/ends_test.go:TestSmuggling inbound/fixsmtpio/dialogue_test.go:TestUnasked",
	2:  "inbound/smtpd/faults_test.go:TestFaults",
	3:  "inbound/smtpd/faults_test.go:TestFaults inbound/dialogue_test.go:TestDialogue",
	4:  "inbound/conn_test.go:TestChange inbound/dialogue_test.go:TestDialogueSTARTTLS cmd/qmail-authup/tls_test.go:TestSTARTTLS cmd/qmail-authup/tls_test.go:TestSTLS inbound/proxy/dialogue_test.go:TestInjection inbound/fixsmtpio/dialogue_test.go:TestSTARTTLS cmd/ucspi-tlsd/ends_test.go:TestInjection cmd/qmail-ofmipd/tls_test.go:TestSTARTTLS",
	5:  "inbound/dialogue_test.go:TestDialogueSTARTTLS inbound/dialogue_test.go:TestDialogueRequired cmd/qmail-ofmipd/tls_test.go:TestSTARTTLS",
	6:  "inbound/authup/faults_test.go:TestSilence cmd/ucspi-tlsd/ends_test.go:TestFailedHandshake",
	7:  "inbound/smtpd/faults_test.go:TestFaults inbound/authup/smtp_test.go:TestSMTP inbound/ofmipd/ends_test.go:TestAuthup",
	8:  "inbound/authup/smtp_test.go:TestSMTP inbound/authup/faults_test.go:TestBlob",
	9:  "inbound/authup/faults_test.go:TestGuessing cmd/qmail-authup/rights_test.go:TestSlowRefusal",
	10: "inbound/authup/check_test.go:TestExitCodes inbound/authup/check_test.go:TestEnvironment cmd/qmail-authup/rights_test.go:TestRights cmd/checknotroot/main_test.go:TestRoot",
	11: "inbound/conn_test.go:TestLineTooLong inbound/conn_test.go:TestLineTime inbound/dialogue_test.go:TestDialogueEnds internal/peers/hostile_test.go:TestFloods",
	12: "inbound/smtpd/content_test.go:TestDatabytes inbound/ofmipd/serve_test.go:TestLarge internal/peers/hostile_test.go:TestFloods",
	13: "inbound/smtpd/faults_test.go:TestFaults inbound/dialogue_test.go:TestDialogue",
	14: "inbound/dialogue_test.go:TestDialogueEnds",
	15: "inbound/dialogue_test.go:TestDialoguePipelining inbound/dialogue_test.go:TestDialogueRecipients internal/peers/hostile_test.go:TestFloods",
	16: "inbound/wire_test.go:TestPatience inbound/smtpd/content_test.go:TestDeafClient inbound/authup/faults_test.go:TestNotReading",
	17: "inbound/smtpd/faults_test.go:TestFaults inbound/dialogue_test.go:TestDialogue",
	18: "inbound/smtpd/faults_test.go:TestFaults internal/smtp/argument_test.go:TestParsePath internal/smtp/argument_test.go:FuzzParsePath",
	19: "inbound/smtpd/config_test.go:TestRcptHosts inbound/smtpd/config_test.go:TestRcptHostsMany",
	20: "inbound/smtpd/faults_test.go:TestFaults inbound/smtpd/serve_test.go:TestPolicy",
	21: "inbound/queue_test.go:TestQueueVerdicts inbound/queue_test.go:TestQueueHangs inbound/smtpd/content_test.go:TestQueueTrouble inbound/ofmipd/serve_test.go:TestQueueTrouble",
	22: "inbound/queue_test.go:TestQueueAbandoned cmd/qmail-smtpd/kill_test.go:TestKilled",
	23: "inbound/smtpd/content_test.go:TestDisconnect inbound/ofmipd/ends_test.go:TestGone internal/peers/hostile_test.go:TestGoneClients",
	24: "inbound/smtpd/content_test.go:TestGoneBeforeReply",
	25: "inbound/hops_test.go:TestHops inbound/smtpd/content_test.go:TestHops",
	26: "inbound/smtpd/serve_test.go:TestReceived inbound/ofmipd/serve_test.go:TestReceived",
	28: "inbound/dialogue_test.go:TestDialogueNoProcess",
	29: "inbound/wire_test.go:TestHelperFails inbound/dialogue_test.go:TestDialogueSTARTTLSFails cmd/qmail-authup/tls_test.go:TestNoTLS cmd/fixsmtpio/fixsmtpio_test.go:TestSTARTTLSFails cmd/smtpd-starttls-proxy-io/proxy_test.go:TestSTARTTLSFails cmd/qmail-ofmipd/tls_test.go:TestSTARTTLSFails",
	30: "cmd/ucspi-tlsd/atonce_test.go:TestNoTickets cmd/ucspi-tlsd/atonce_test.go:TestClientCertificates",
	31: "cmd/qmail-authup/rights_test.go:TestRights cmd/ucspi-tlsd/rights_test.go:TestRights",
	32: "internal/mess822/addr_test.go:TestHostileLists internal/mess822/header_test.go:FuzzAppend inbound/ofmipd/serve_test.go:TestManyAddresses inbound/ofmipd/serve_test.go:TestTooManyAddresses",
	33: "inbound/smtpd/faults_test.go:TestFaults",
	34: "inbound/smtpd/faults_test.go:TestFaults inbound/ofmipd/serve_test.go:TestDialogue",
	35: "inbound/dialogue_test.go:TestDialoguePanics internal/peers/crash_test.go:TestCrash",
	36: "inbound/tlsd/keys_test.go:TestWrongFiles cmd/ucspi-tlsd/delayed_test.go:TestBrokenKeys",
}

// elsewhere are rows of whoever accepts connections: a UCSPI server, not ours.
var elsewhere = map[int]string{27: "names and ident", 28: "how many connections, and from whom; what we do without descriptors is ours"}

// TestProofs: every row is tested where it is said to be.
func TestProofs(t *testing.T) {
	if len(proofs) != 37 {
		t.Errorf("%d rows", len(proofs)-1)
	}
	for row, list := range proofs[1:] {
		row++
		if list == "" && elsewhere[row] == "" {
			t.Errorf("S%d: nothing", row)
		}
		for proof := range strings.FieldsSeq(list) {
			file, name, _ := strings.Cut(proof, ":")
			text, err := os.ReadFile("../" + file)
			if err != nil || !strings.Contains(string(text), "func "+name+"(") {
				t.Errorf("S%d: there is no %s (%v)", row, proof, err)
			}
			if name == "TestFaults" && !strings.Contains(string(text), "{\"S"+strconv.Itoa(row)+"\"") {
				t.Errorf("S%d: not in the table of %s", row, file)
			}
		}
	}
}
