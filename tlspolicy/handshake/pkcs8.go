package handshake

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
)

// maxIterations is how long we work on a password before calling it a mistake;
// OpenSSL's default is 2048, careful people take a million.
const maxIterations = 10_000_000

// The structures of PBES2 with PBKDF2 (RFC 8018 §A.2, §A.4).
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2 struct {
		KDF, Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var errKeyEncryption = errors.New("key encrypted in a way that is not understood; PBES2 with PBKDF2 and AES is")

// decryptPKCS8 takes the encryption off a key as "openssl genpkey -aes256"
// and "openssl pkcs8 -topk8" write it: PBES2, PBKDF2, AES in CBC mode.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var k encryptedKey
	var scheme pbes2
	var kdf pbkdf2Params
	var iv []byte
	if !decodeAll(der, &k) || !decodeAll(k.Algorithm.Parameters.FullBytes, &scheme) ||
		!decodeAll(scheme.KDF.Parameters.FullBytes, &kdf) || !decodeAll(scheme.Cipher.Parameters.FullBytes, &iv) {
		return nil, errKeyEncryption
	}
	size := aesKeySize(scheme.Cipher.Algorithm)
	prf := prfHash(kdf.PRF.Algorithm)
	if k.Algorithm.Algorithm.String() != "1.2.840.113549.1.5.13" || scheme.KDF.Algorithm.String() != "1.2.840.113549.1.5.12" ||
		size == 0 || prf == nil || kdf.Iterations < 1 || kdf.Iterations > maxIterations {
		return nil, errKeyEncryption
	}
	key, err := pbkdf2.Key(prf, password, kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, err
	}
	return decryptCBC(key, iv, k.Data)
}

// decodeAll decodes der, which must hold one value and nothing after it.
func decodeAll(der []byte, to any) bool {
	rest, err := asn1.Unmarshal(der, to)
	return err == nil && len(rest) == 0
}

func aesKeySize(oid asn1.ObjectIdentifier) int {
	switch oid.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16
	case "2.16.840.1.101.3.4.1.22":
		return 24
	case "2.16.840.1.101.3.4.1.42":
		return 32
	}
	return 0
}

// prfHash is the hash under HMAC; without an algorithm it is SHA-1 (RFC 8018 §A.2).
func prfHash(oid asn1.ObjectIdentifier) func() hash.Hash {
	switch oid.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New
	case "1.2.840.113549.2.9":
		return sha256.New
	case "1.2.840.113549.2.10":
		return sha512.New384
	case "1.2.840.113549.2.11":
		return sha512.New
	}
	return nil
}

// decryptCBC decrypts and takes off the padding (RFC 8018 §6.1.1).
func decryptCBC(key, iv, data []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(iv) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errKeyEncryption
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, data)
	n := int(out[len(out)-1])
	if n == 0 || n > aes.BlockSize {
		return nil, errors.New("wrong password for the key")
	}
	for _, b := range out[len(out)-n:] {
		if int(b) != n {
			return nil, errors.New("wrong password for the key")
		}
	}
	return out[:len(out)-n], nil
}
