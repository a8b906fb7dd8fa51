package main

import _ "postrider/internal/entry" // the first instructions, see there
