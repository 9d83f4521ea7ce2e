-- Until the transaction ends, the tablo is not deleted and no other upload to it is completed.
SELECT 1 FROM tablos WHERE id = $1 FOR NO KEY UPDATE
