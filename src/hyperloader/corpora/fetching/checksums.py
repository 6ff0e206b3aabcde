"""SHA-256 of every raw file, as laid out in a mirror's `corpora/` folder.

`mit/` sums are of the file with LF line ends and one blank line at its end; published copies differ in just that.
"""

SHA256 = {
    "atis/test/label": "ce4bfe6590d9498e1078f30b4137d3e8b3e94277b444b26360c0bf2e9e282761",
    "atis/test/seq.in": "4b2119fc59c37f9398c6605db435d4f467505009e6ee3e5af04fed09f39dc397",
    "atis/test/seq.out": "a4690d6bceadc06876d1ff99bc401744aa981cb321e598ae12a3859d7be53254",
    "atis/train/label": "d0a771547665eecbdf9f96ea015ef07d1f6ee9f063e861020dafabb3c2a04377",
    "atis/train/seq.in": "3a670980841b21ab39088b2595efc17d487cdc45769c075a3e5f9458bba28c7f",
    "atis/train/seq.out": "14c7131bd66562f797dbd7189bc7358f0cf354c6afb0785a9ab973c35b58f34c",
    "atis/valid/label": "06957cfe6fdffac84f8280bc3a1f8ca85c85631b363817aa4543aac611f8addf",
    "atis/valid/seq.in": "c7435b96e7948393608c34819628e863c5338f11ca68e8f896d2cc041d8e17f8",
    "atis/valid/seq.out": "83ccff3e36f83a993f8e5b5b82adf3256076f234abda4d784051381d7ac76922",
    "mit/movie/engtest.bio": "2ba7c6da2e5c1d897ebbcbcefad9e0f03eed41b183106e7f26b7f24b704282fd",
    "mit/movie/engtrain.bio": "68d90d7b29bc7dbf54efce6dfddbcdcb685293a00eaf76cd48c3acb5d3b68fe8",
    "mit/movie/trivia10k13test.bio": "244807ba0006744a103a9449a12503641af287a869887b6d9cbb75b749e92d3d",
    "mit/movie/trivia10k13train.bio": "3208087913814190b5ac6bf7a7c926d23b7cf0ab4a1734311badec4d8eaa5a82",
    "mit/restaurant/restauranttest.bio": "09809dd126a3781c4205d06e721752054e51a10b1c98f3495ef17cd723f25ce2",
    "mit/restaurant/restauranttrain.bio": "f51794247426c975e7701011d4dba668ac6b881358f162e2c2c10709f2d17b9b",
    "mtod/en/eval-en.conllu": "e6df344b6e48147a63fb2ab0909a9cade0dffcb86ca16bb7de9bc4ed1ab4a955",
    "mtod/en/test-en.conllu": "4b763cd488f17c8bfcb85011a26161b43f046befaee4d511ca630bdce8d1eb80",
    "mtop/en/eval.txt": "950d49197df0ae660c27cf7a33a462b8c41c267ac579db788bd7812daf258a31",
    "mtop/en/test.txt": "b81158cb1a7d9d06caa3e4feb1b13568215a6b9ae3fb2a51fafbdc4df3817330",
    "mtop/en/train.txt": "1c1e137ca0f4d72279b3b4755f8202793b1d24a840e55b3c81e4db289656d692",
    "snips/test/label": "37a26da3ad079bb41c42c85a3a8f827eb47efec4c5917ce5d08f4b2736e4f830",
    "snips/test/seq.in": "c1e341173fcea2951a8ca371956a6f81c76de87b9583c62eb87edd6158fa3a7c",
    "snips/test/seq.out": "58c07c9097d5e1f78889765c2a535a160f6455b90b3142055c8051847afcca47",
    "snips/train/label": "bfd7df6cf9dd76c5da5d8b61bc85f90386197bdd3d7510c1d324c051537b962f",
    "snips/train/seq.in": "04ad1e3f2121d83c6478f9a4b17d2dbdc21d06d6127f73cb7af835ed733f9855",
    "snips/train/seq.out": "fd5f2121d8055827e5d6b3d3bac30f3d7e94e82a5d437751960cbdd9e1b4f6d3",
    "snips/valid/label": "9c1dd041216f647bcfca838aaf1a48eb5781e4404256d31ff07cd38a5436c52f",
    "snips/valid/seq.in": "64e0f6d8ad8aab3a3828164d7d53731a0993d3ca1aed437ceaca6d3d568d410e",
    "snips/valid/seq.out": "712e6d34feb8d52d208b820a5f8bae6e6ff990f08374507dfde22de389088319",
}

REBUILT_SHA256 = {
    # rebuilt from published parts where the official file could not be had; the tokens and tags are taken as exact
    "mtop/en/train.txt": "e6025eca2b7afbd0d5489cec9293e0672751fee442a697f429e5b156fd8ae3da",
    "mtod/en/train-en.conllu": "afba4a4dde691c2d14aea7592e5ee0bd2fdde2f0ca0fac4b529fdf505f6d2127",
}

GIT_BLOB_SHA1 = {
    # known by the object name of the official file in a git repository only
    "mtod/en/train-en.conllu": "7591a4c3e86829676267dc612d2057bc693b1d83",
}
