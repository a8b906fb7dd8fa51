package remote_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// proofs says where the rows of the fault catalogue are tested, beside the
// dialogues that bear a row's number: file, colon, test.
var proofs = map[int]string{
	12: "remote/bounds_test.go:TestC12Crowd resolver/faults_test.go:TestMX",
	13: "resolver/faults_test.go:TestTCP resolver/forged_test.go:TestPatience",
	14: "resolver/forged_test.go:TestForged resolver/forged_test.go:TestWrongSource",
	15: "resolver/forged_test.go:TestOddRecords resolver/fuzz_test.go:FuzzAnswer resolver/names_test.go:TestUnpackName",
	16: "resolver/faults_test.go:TestChains",
	17: "resolver/faults_test.go:TestTLSA resolver/forged_test.go:TestOddAddressesAndTLSA",
	20: "resolver/config_test.go:TestLoadConfig resolver/faults_test.go:TestSecure",
	21: "resolver/config_test.go:TestLoadConfig resolver/faults_test.go:TestServers",
	23: "remote/dial_test.go:TestRace",
	28: "internal/smtp/reader_test.go:TestNotReplies",
	33: "internal/smtp/ehlo_test.go:TestParseExtensions",
	36: "internal/report/report_test.go:TestForeignBytes",
	37: "internal/smtp/reader_test.go:TestEndlessReplies internal/smtp/reader_test.go:TestReplyBounds",
	39: "remote/faults_test.go:TestFaultsBeforeTLS",
	40: "remote/faults_test.go:TestFaultsBeforeTLS tlspolicy/handshake/hostile_test.go:TestGarbage",
	44: "tlspolicy/handshake/hostile_test.go:TestServersThatCannot tlspolicy/handshake/hostile_test.go:TestLongChains",
	45: "smtpc/greet_test.go:TestSecured smtpc/greet_test.go:TestSecuredHELO",
	46: "tlspolicy/handshake/posthandshake_test.go:TestC46AfterTheHandshake tlspolicy/handshake/posthandshake_test.go:TestC46Renegotiation",
	59: "smtpc/content_test.go:TestC59ManyRecipients",
	64: "smtpc/follow_test.go:TestEarlyAcceptanceOfHeld",
	66: "remote/bounds_test.go:TestC66SlowReader",
	69: "cmd/qmail-remote/process_test.go:TestShrinkingMessage internal/smtp/message_test.go:TestReadErrors",
	70: "internal/smtp/codec_test.go:TestEncoderAllStrings internal/smtp/codec_test.go:FuzzEncoder",
	72: "internal/smtp/path_test.go:TestAppendPath internal/smtp/path_test.go:FuzzPath",
	80: "remote/bounds_test.go:TestC80Panics cmd/qmail-remote/limits_test.go:TestLimits internal/spawn/front_test.go:TestKills cmd/qmail-rspawn/rspawn_test.go:TestEngineKilled",
	81: "cmd/qmail-remote/process_test.go:TestDescriptor0 cmd/qmail-remote/process_test.go:TestDescriptor1 cmd/qmail-remote/process_test.go:TestSlowReader internal/chain/cutoff_test.go:TestUnheard cmd/qmail-rspawn/rspawn_test.go:TestDeaf",
	82: "cmd/qmail-remote/kill_test.go:TestKilledAtCalls cmd/qmail-remote/steps_test.go:TestKilledAtSteps cmd/qmail-remote/steps_test.go:TestSignals internal/chain/cutoff_test.go:TestKilledHelpers internal/chain/cutoff_test.go:TestOrphans",
	83: "tcpto/table_test.go:TestBlocked routes/changes_test.go:TestChanges",
	84: "internal/control/load_test.go:TestLoadErrorsC84 routes/smtproutes_test.go:TestSMTPUnreadableC84 routes/smtproutes_test.go:TestSMTPLookup",
	85: "cmd/qmail-rspawn/rspawn_test.go:TestDeliveries cmd/qmail-rspawn/rspawn_test.go:TestEndOfInput internal/spawn/command_test.go:TestFaults",
	86: "internal/fair/queue_test.go:TestOthersGoOn internal/spawn/serve_test.go:TestAllSlots",
	87: "internal/engine/engine_test.go:TestStale smtpc/send_test.go:TestEarly421",
	88: "smtpc/follow_test.go:TestFollow internal/engine/cut_test.go:TestCutAtEveryByte internal/engine/cut_test.go:TestCutUnderTLS internal/engine/cut_test.go:TestOddReplies",
	89: "remote/key_test.go:TestKey internal/engine/changed_test.go:TestChangedMeanwhile internal/engine/engine_test.go:TestTLS internal/engine/sessions_test.go:TestSessions",
	90: "internal/engine/engine_test.go:TestNothingIsLeft",
}

// later are the rows of what is not there yet.
var later = map[int]string{49: "MTA-STS"}

// TestProofs: every row of the fault catalogue, C1 to C90, has a dialogue or a
// test, which is where it is said to be.
func TestProofs(t *testing.T) {
	for row := 1; row <= 90; row++ {
		files, err := filepath.Glob(fmt.Sprintf("testdata/dialogues/faults/C%02d-*.txtar", row))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 && proofs[row] == "" && later[row] == "" {
			t.Errorf("C%d: nothing", row)
		}
		for proof := range strings.FieldsSeq(proofs[row]) {
			file, name, _ := strings.Cut(proof, ":")
			text, err := os.ReadFile("../" + file)
			if err != nil || !strings.Contains(string(text), "func "+name+"(") {
				t.Errorf("C%d: there is no %s (%v)", row, proof, err)
			}
		}
	}
}

// TestDialogueNames: in faults/ stands what has a row.
func TestDialogueNames(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogues/faults/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	var rows []string
	for row := 1; row <= 90; row++ {
		rows = append(rows, fmt.Sprintf("C%02d", row))
	}
	for _, f := range files {
		if row, rest, ok := strings.Cut(filepath.Base(f), "-"); !ok || !slices.Contains(rows, row) || !strings.HasSuffix(rest, ".txtar") {
			t.Errorf("%s: of no row", f)
		}
	}
}
